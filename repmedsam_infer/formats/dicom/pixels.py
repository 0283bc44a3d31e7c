"""The pixels of DICOM files, decoded: grey ones as real-world values, coloured ones as RGB.

What a header declares is checked before anything is allocated. Values are rescaled frame by frame, as PET needs it.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.codestream import declared_size
from repmedsam_infer.formats.dicom.files import reason_of
from repmedsam_infer.formats.dicom.frames import DicomFrame
from repmedsam_infer.formats.dicom.rescale import Rescaling, smallest_type
from repmedsam_infer.io.npz import MAX_ARRAY_BYTES

if TYPE_CHECKING:
    from pydicom.uid import UID

MAX_SIDE = 65_535  # Rows and Columns are 16 bits
GREY, COLOUR = ("MONOCHROME1", "MONOCHROME2"), ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"
JPEG_CODECS = "install python-gdcm (pip install python-gdcm), or decompress the files first, with dcmdjpeg or gdcmconv"
CODECS = {
    "1.2.840.10008.1.2.4.80": "install pyjpegls (pip install pyjpegls)",
    "1.2.840.10008.1.2.4.81": "install pyjpegls (pip install pyjpegls)",
    "1.2.840.10008.1.2.4.90": "install pylibjpeg-openjpeg (pip install 'repmedsam[files]')",
    "1.2.840.10008.1.2.4.91": "install pylibjpeg-openjpeg (pip install 'repmedsam[files]')",
}


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
    """Check that the voxels fit below the limit of an array."""
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_ARRAY_BYTES:
        raise CaseReadError(
            f"{name}: declares {' x '.join(map(str, shape[:3]))} pixels, {size / 2**30:,.1f} GiB; "
            f"the limit is {MAX_ARRAY_BYTES / 2**30:.0f} GiB"
        )


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


def check_syntax(frame: DicomFrame) -> None:
    """Check that the file's pixels can be decoded here.

    Raises:
        CaseReadError: they cannot; the sentence names the transfer syntax and what to install.

    """
    from pydicom.pixels.decoders.base import get_decoder

    uid = transfer_syntax(frame)
    try:
        usable = get_decoder(uid).is_available
    except NotImplementedError:
        raise CaseReadError(
            f"{frame.file}: its pixels are stored as {uid.name or uid}, which cannot be read; "
            "export them without compression (Explicit VR Little Endian)"
        ) from None
    if not usable:
        raise CaseReadError(
            f"{frame.file}: its pixels are compressed as {uid.name}, whose codec is not installed; "
            f"{CODECS.get(uid, JPEG_CODECS)}"
        )


def transfer_syntax(frame: DicomFrame) -> "UID":
    from pydicom.uid import UID

    meta = getattr(frame.header, "file_meta", None)
    uid = None if meta is None else meta.get("TransferSyntaxUID")
    if not isinstance(uid, str) or not uid:
        raise CaseReadError(f"{frame.file}: does not say how its pixels are stored (TransferSyntaxUID is missing)")
    return UID(uid)


def decoded_frames(frame: DicomFrame, path: Path) -> Iterator[NDArray[Any]]:
    """All frames of the file of `frame`, one by one in its order, as stored: (H, W) or (H, W, 3).

    Raises:
        CaseReadError: there are no pixels, or they are damaged or cut off.

    """
    from pydicom.pixels.utils import iter_pixels

    rows, columns = frame.whole("Rows"), frame.whole("Columns")
    syntax = transfer_syntax(frame)
    try:
        if syntax.is_encapsulated:
            check_codestreams(frame, path)
        elif frame.whole("BitsAllocated") == 1:
            check_bits(frame, path)
        for stored in iter_pixels(path):
            if stored.shape[:2] != (rows, columns):
                raise CaseReadError(
                    f"{frame.file}: declares {rows} x {columns} pixels and holds {stored.shape[0]} x {stored.shape[1]}"
                )
            yield stored
    except (CaseReadError, MemoryError):
        raise
    except Exception as error:  # pydicom and the codecs raise whatever a damaged file leads them to
        reason = reason_of(error)
        if "no pixel data to decode" in reason:
            raise CaseReadError(f"{frame.file}: has no pixel data, only a header; export the image again") from error
        advice = f"; or {JPEG_CODECS}" if syntax.is_encapsulated and syntax not in CODECS else ""
        raise CaseReadError(
            f"{frame.file}: its pixels cannot be decoded ({reason}): it is damaged or cut off; copy it again{advice}"
        ) from error


def check_codestreams(frame: DicomFrame, path: Path) -> None:
    """Check that compressed frames are as large as the header says."""
    from pydicom import dcmread
    from pydicom.encaps import generate_frames

    declared = frame.whole("Rows"), frame.whole("Columns")
    whole = dcmread(path, specific_tags=["PixelData"])
    if "PixelData" not in whole:
        raise CaseReadError(f"{frame.file}: has no pixel data, only a header; export the image again")
    for encoded in generate_frames(whole.PixelData, number_of_frames=frame.whole("NumberOfFrames", 1) or 1):
        size = declared_size(encoded)
        if size not in (None, declared):
            raise CaseReadError(
                f"{frame.file}: its header declares {declared[0]} x {declared[1]} pixels, "
                f"its compressed pixels {size[0]} x {size[1]}: it is damaged; export it again"
            )


def check_bits(frame: DicomFrame, path: Path) -> None:
    """Check that pixels of one bit are all there: pydicom takes missing ones for zeros."""
    from pydicom import dcmread

    bits = frame.whole("Rows") * frame.whole("Columns") * (frame.whole("NumberOfFrames", 1) or 1)
    found = len(dcmread(path, specific_tags=["PixelData"]).get("PixelData") or b"")
    if found * 8 < bits:
        raise CaseReadError(
            f"{frame.file}: holds {found} of {math.ceil(bits / 8)} bytes of pixels: it is cut off; copy it again"
        )


def to_rgb(stored: NDArray[Any], frame: DicomFrame) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of colours, or of (H, W) numbers of colours in the file's palette."""
    bits = frame.whole("BitsStored", 8)
    if frame.find("PhotometricInterpretation") == PALETTE:
        from pydicom.pixels.processing import apply_color_lut

        try:
            stored = apply_color_lut(stored, frame.header)[..., :3]
            bits = int(frame.header.RedPaletteColorLookupTableDescriptor[2])
        except Exception as error:
            raise CaseReadError(f"{frame.file}: its colour palette cannot be used ({error})") from error
    if frame.whole("PixelRepresentation", 0) == 1 and stored.dtype.kind == "i":
        raise CaseReadError(f"{frame.file}: its colours are signed numbers, which is not supported; export them as RGB")
    return (stored >> (bits - 8) if bits > 8 else stored).astype(np.uint8)
