"""NIfTI-1 and NIfTI-2, plain or gzipped: image in, label map out with the very header.

nibabel understands the header; voxels are read here, so that nothing is allocated, rescaled or converted on a file's
own word.
"""

import contextlib
import gzip
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, SetupError
from repmedsam_infer.formats.affine import check_affine
from repmedsam_infer.formats.endings import name_of
from repmedsam_infer.formats.nifti.header import (
    COLOURS,
    RAS_TO_LPS,
    affine_of,
    check_shape,
    is_scaled,
    read_header,
)
from repmedsam_infer.formats.opening import BESIDES, check_file
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.volumes import choose_volume
from repmedsam_infer.io.atomic import write_result
from repmedsam_infer.io.npz import MAX_ARRAY_BYTES
from repmedsam_infer.system.memory import check_fits

GZIP_MARK = b"\x1f\x8b"
MAX_SIDE_NIFTI1 = 32_767
IN_3D = 3
PIECE = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class NiftiSource:
    """What a label map takes from its image.

    header: nibabel's Nifti1Header or Nifti2Header, as read.
    shape: (x, y) or (x, y, z).
    """

    header: Any
    shape: tuple[int, ...]


def read_nifti(path: Path, volume: int | None = None) -> Scan:
    """Read a volume; a file of two axes is a volume of one slice.

    volume: which one, from 0, where there are several (times, channels, ...).

    Where sform and qform codes are both 0 the file says nothing of left and right: nibabel's guess (ANALYZE's order,
    x to the left) is taken, with a warning.

    Raises:
        CaseReadError: it is damaged, too large, has several volumes and none is chosen, or does not say where it lies
            in a way that makes sense.
        SetupError: nibabel is not installed.

    """
    check_file(path)
    warnings: list[str] = []
    try:
        with open_plain_or_gzip(path) as stream:
            header = read_header(path.name, stream)
            shape, count = check_shape(path.name, header)
            index = choose_volume(path.name, count, volume, " x ".join(map(str, (*shape, count))))
            stored = read_stored(path.name, stream, header, shape, index)
    except (OSError, EOFError, zlib.error) as error:
        raise CaseReadError(f"{path.name}: is damaged or cut off ({error}); copy it again") from error
    return Scan(
        name=name_of(path),
        voxels=rescaled(path.name, stored, header),
        is_volume=True,
        affine=affine_of(path.name, header, shape, warnings),
        source=NiftiSource(header, shape),
        warnings=tuple(warnings),
    )


def scan_of_nibabel(image: Any) -> Scan:
    """Return the volume of an image of nibabel.

    Raises:
        CaseReadError: it has other axes than x, y and z, or does not say where it lies in a way that makes sense.

    """
    name = Path(image.get_filename() or "image").name
    shape = tuple(image.shape)
    while len(shape) > IN_3D and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != IN_3D:
        raise CaseReadError(f"{name}: has {len(image.shape)} axes {image.shape}; a volume of three is needed")
    affine = RAS_TO_LPS @ np.asarray(image.affine, np.float64)
    check_affine(name, affine)
    return Scan(name, np.asanyarray(image.dataobj).reshape(shape).T, is_volume=True, affine=affine)


@contextlib.contextmanager
def open_plain_or_gzip(path: Path) -> Iterator[IO[bytes]]:
    """Return the file's content; what it begins with, not its name, says whether it is gzipped."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP_MARK
        file.seek(0)
        if not is_gzip:
            yield file
            return
        with gzip.open(file) as unpacked:
            yield unpacked  # type: ignore[misc]  # a GzipFile is one


def read_stored(name: str, stream: IO[bytes], header: Any, shape: tuple[int, ...], index: int = 0) -> NDArray[Any]:
    """(z, y, x) stored numbers, (z, y, x, 3) of coloured voxels, of the volume `index`.

    Raises:
        CaseReadError: there are fewer than declared, or they are of a type that no image is, or need too much memory.

    """
    code, dtype = int(header["datatype"]), header.get_data_dtype()
    if code not in COLOURS and dtype.kind not in "iuf":
        raise CaseReadError(f"{name}: its voxels are {dtype.name}, not grey levels or colours; convert it first")
    offset = float(header["vox_offset"])
    read = int(header["sizeof_hdr"])
    if not (np.isfinite(offset) and read + 4 <= offset <= MAX_ARRAY_BYTES):
        raise CaseReadError(f"{name}: its header says that voxels begin at byte {offset:g}: it is damaged")
    size = math.prod(shape) * dtype.itemsize
    left = 0 if isinstance(stream, gzip.GzipFile) else os.fstat(stream.fileno()).st_size - int(offset) - index * size
    if left >= 0:  # else it is cut off, and will be called so
        rescaled_size = 4 * math.prod(shape) if is_scaled(header) else 0
        check_fits(name, size + rescaled_size + BESIDES * math.prod(shape))
    skip(name, stream, int(offset) - read, "the extensions of its header")
    skip(name, stream, index * size, "the volumes before")
    content = read_whole(name, stream, size, "its voxels")
    stream.read(1)  # reaching the end makes gzip verify the checksum
    file_order = (1,) * (3 - len(shape)) + shape[::-1]
    if code in COLOURS:
        return content.reshape(*file_order, COLOURS[code])[..., :3]
    values = content.view(dtype).reshape(file_order)
    return values if dtype.isnative else values.byteswap(inplace=True).view(dtype.newbyteorder("="))


def read_whole(name: str, stream: IO[bytes], size: int, what: str) -> NDArray[np.uint8]:
    """(size,) bytes; the system gives memory only to what is really written there."""
    content = np.empty(size, np.uint8)
    filled = 0
    while filled < size:
        piece = stream.read(min(size - filled, PIECE))
        if not piece:
            raise cut_off(name, filled, size, what)
        content[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    return content


def skip(name: str, stream: IO[bytes], size: int, what: str) -> None:
    passed = 0
    while passed < size:
        piece = stream.read(min(size - passed, PIECE))
        if not piece:
            raise cut_off(name, passed, size, what)
        passed += len(piece)


def cut_off(name: str, found: int, size: int, what: str) -> CaseReadError:
    return CaseReadError(f"{name}: ends after {found:,} of {size:,} bytes of {what}: it is cut off; copy it again")


def rescaled(name: str, stored: NDArray[Any], header: Any) -> NDArray[Any]:
    """Real-world values: as stored, or float32 where the header has slope and intercept."""
    if not is_scaled(header):
        return stored
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite([slope, intercept]).all():
        raise CaseReadError(f"{name}: its header has slope {slope:g} and intercept {intercept:g}: it is damaged")
    values = np.empty(stored.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is filled where it is shown
        for plane, of_plane in zip(values, stored, strict=True):
            plane[...] = of_plane * np.float64(slope) + intercept
    return values


def write_nifti(path: Path, labels: NDArray[Any], scan: Scan) -> None:
    """Write (H, W) or (D, H, W) labels: of an image that was NIfTI with its very header (sform, qform, their codes,
    units, byte order, version), of others in the same place.

    Raises:
        CaseWriteError: it could not be written.
        SetupError: nibabel is not installed.

    """
    header = label_header(labels, scan)
    dtype = header.get_data_dtype()
    content = header.binaryblock + bytes(4) + np.ascontiguousarray(labels, dtype).tobytes()
    if path.name.lower().endswith(".gz"):
        # Level 1: label maps are long runs of equal bytes. No time stamp: equal labels give equal files.
        content = gzip.compress(content, 1, mtime=0)
    write_result(path, content, "the label map")


def label_header(labels: NDArray[Any], scan: Scan) -> Any:
    try:
        from nibabel import Nifti1Header, Nifti2Header
    except ImportError as error:
        raise SetupError("NIfTI needs nibabel: pip install 'repmedsam[files]'") from error
    if isinstance(scan.source, NiftiSource):
        header = scan.source.header.copy()
        pixdim = header["pixdim"].copy()  # of which setting the shape changes what belongs to further axes
        header.set_data_shape(scan.source.shape)
        header["pixdim"] = pixdim
    else:
        kind: Any = Nifti1Header if max(labels.shape) <= MAX_SIDE_NIFTI1 else Nifti2Header
        header = kind()
        header.set_data_shape(labels.shape[::-1])
        if scan.affine is not None:
            header.set_qform(RAS_TO_LPS @ scan.affine, code=1)
            header.set_sform(RAS_TO_LPS @ scan.affine, code=1)
            header.set_xyzt_units("mm")
    header.set_data_dtype(labels.dtype)
    header["vox_offset"] = int(header["sizeof_hdr"]) + 4
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_min"], header["cal_max"] = 0, 0
    header.set_intent("none")
    header["descrip"] = b"RepMedSAM: for research, not for diagnosis"
    return header
