"""The pixels of DICOM files as they are meant: grey ones as real-world values, coloured ones as RGB.

What a header declares is checked before anything is allocated. Values are rescaled frame by frame, as PET needs it.
"""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.decoding import check_syntax, decoded_frames, transfer_syntax
from repmedsam_infer.formats.dicom.frames import DicomFrame
from repmedsam_infer.formats.dicom.rescale import Rescaling, smallest_type
from repmedsam_infer.formats.opening import BESIDES
from repmedsam_infer.io.npz import MAX_ARRAY_BYTES
from repmedsam_infer.system.memory import check_fits

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_SIDE = 65_535  # Rows and Columns are 16 bits
GREY, COLOUR = ("MONOCHROME1", "MONOCHROME2"), ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
OF_A_FRAME = 24  # bytes that a pixel takes while its frame is decoded and rescaled
PALETTE = "PALETTE COLOR"


def read_voxels(name: str, frames: Sequence[DicomFrame], paths: dict[str, Path]) -> NDArray[Any]:
    """(D, H, W) or, of coloured frames, (D, H, W, 3) uint8: one plane for each frame, in the order given.

    Grey values are rescaled; whole numbers stay whole, in the smallest of uint8, int16, int32 and int64 that holds
    what the header allows, others become float32. MONOCHROME1 is turned round, so that more is brighter, but where
    values are measured in units. Padding takes the lowest value of what is not padding.

    Args:
        name: the case, for messages.
        frames: all of one size.
        paths: the file of each DicomFrame.file.

    Raises:
        CaseReadError: too large, compressed in a way that cannot be read here, damaged, or of an unknown kind.

    """
    rows, columns = check_size(name, frames)
    is_coloured = check_colours(name, frames)
    rescalings = [Rescaling(frame) for frame in frames] if not is_coloured else []
    dtype = np.dtype(np.uint8) if is_coloured else smallest_type(rescalings)
    shape = (len(frames), rows, columns, *([3] if is_coloured else []))
    check_memory(name, shape, dtype)
    places = {(frame.file, frame.index): z for z, frame in enumerate(frames)}
    files = {frame.file: frame for frame in frames}
    for frame in files.values():
        check_syntax(frame)
    voxels = np.empty(shape, dtype)
    padding: dict[int, NDArray[np.uint8]] = {}  # of each plane that has any, bit-packed
    lowest = math.inf
    missing = set(places)
    for file, any_frame in files.items():
        for index, stored in enumerate(decoded_frames(any_frame, paths[file])):
            z = places.get((file, index))
            if z is None:
                continue
            missing.discard((file, index))
            if is_coloured:
                voxels[z] = to_rgb(stored, frames[z])
                continue
            values, padded = rescalings[z].apply(stored)
            voxels[z] = values
            if padded is not None and padded.any():
                padding[z] = np.packbits(padded)
                values = values[~padded]
            if values.size:
                lowest = min(lowest, float(values.min()))
    if missing:
        file, index = min(missing)
        raise CaseReadError(f"{file}: ends before frame {index + 1}: it is cut off; copy it again")
    if padding and lowest < math.inf:
        fill_padding(voxels, padding, lowest)
    return voxels


def check_memory(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Check that the voxels fit below the limit of an array, and into memory."""
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_ARRAY_BYTES:
        raise CaseReadError(
            f"{name}: declares {' x '.join(map(str, shape[:3]))} pixels, {size / 2**30:,.1f} GiB; "
            f"the limit is {MAX_ARRAY_BYTES / 2**30:.0f} GiB"
        )
    frame = math.prod(shape[1:3])
    check_fits(name, size + BESIDES * shape[0] * frame + OF_A_FRAME * frame)


def fill_padding(voxels: NDArray[Any], padding: dict[int, NDArray[np.uint8]], value: float) -> None:
    """Set the padded pixels of each slice, bit-packed, to `value`."""
    rows, columns = voxels.shape[1:3]
    for z, bits in padding.items():
        voxels[z][np.unpackbits(bits, count=rows * columns).reshape(rows, columns).astype(bool)] = value


def check_size(name: str, frames: Sequence[DicomFrame]) -> tuple[int, int]:
    """Rows and columns, the same in all frames."""
    sizes = {(frame.whole("Rows"), frame.whole("Columns")): frame for frame in frames}
    if len(sizes) > 1:
        (first, one), (second, other) = list(sizes.items())[:2]
        raise CaseReadError(
            f"{name}: its images differ in size ({first[0]} x {first[1]} in {one.name}, {second[0]} x {second[1]} in "
            f"{other.name}); give a folder with images of one kind"
        )
    rows, columns = next(iter(sizes))
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
        raise CaseReadError(f"{name}: declares {rows} x {columns} pixels: the header is damaged")
    return rows, columns


def check_colours(name: str, frames: Sequence[DicomFrame]) -> bool:
    """Whether they are coloured."""
    kinds = {
        (str(frame.find("PhotometricInterpretation") or ""), frame.whole("SamplesPerPixel", 1)) for frame in frames
    }
    coloured = {(kind in COLOUR and samples == 3) or (kind == PALETTE and samples == 1) for kind, samples in kinds}
    unknown = [kind for kind in kinds if not ((kind[0] in GREY and kind[1] == 1) or coloured == {True})]
    if unknown and len(coloured) == 1:
        kind, samples = unknown[0]
        raise CaseReadError(
            f"{name}: its pixels are {kind or 'of no declared kind'} of {samples} samples, which is not supported; "
            "export them as MONOCHROME2 or RGB"
        )
    if len(coloured) > 1:
        raise CaseReadError(f"{name}: grey and coloured images in one series; give a folder with images of one kind")
    return coloured == {True}


def to_rgb(stored: NDArray[Any], frame: DicomFrame) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of colours, or of (H, W) numbers of colours in the file's palette."""
    bits = frame.whole("BitsStored", 8)
    if frame.find("PhotometricInterpretation") == PALETTE:
        from pydicom.pixels.processing import apply_color_lut

        try:
            stored = apply_color_lut(stored, palette_of(frame))[..., :3]
            bits = int(frame.header.RedPaletteColorLookupTableDescriptor[2])
        except Exception as error:
            raise CaseReadError(f"{frame.file}: its colour palette cannot be used ({error})") from error
    if frame.whole("PixelRepresentation", 0) == 1 and stored.dtype.kind == "i":
        raise CaseReadError(f"{frame.file}: its colours are signed numbers, which is not supported; export them as RGB")
    return (stored >> (bits - 8) if bits > 8 else stored).astype(np.uint8)


def palette_of(frame: DicomFrame) -> "Dataset":
    """Return the header with its palette's 16-bit words in the byte order that pydicom takes them for: the least first.

    Of files whose greatest byte is first it makes black pictures.
    """
    from pydicom import Dataset

    if transfer_syntax(frame).is_little_endian:
        return frame.header
    little = Dataset()
    little.update({element.tag: copy.copy(element) for element in frame.header.group_dataset(0x0028)})
    for element in little:
        if element.keyword.endswith("PaletteColorLookupTableData") and isinstance(element.value, bytes):
            element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()
    little.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    return little
