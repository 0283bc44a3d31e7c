"""What a NIfTI header says: how many voxels of which type, how to rescale them, where they lie; or why it cannot be.

NIfTI counts millimetres to the patient's right, front and head (RAS); a `Scan` is in LPS.
"""

import math
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, SetupError
from repmedsam_infer.formats.affine import check_affine
from repmedsam_infer.io.npz import MAX_ARRAY_BYTES

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # of a header's unit (metre, mm, micron); unknown ones are mm
HEADER_BYTES = {348: b"n+1\0", 540: b"n+2\0"}  # of NIfTI-1, NIfTI-2: length, and how a single file is marked
COLOURS = {128: 3, 2304: 4}  # datatype codes of RGB and RGBA: bytes a voxel
CIFTI = 30  # hundreds of its intent codes
UNLIKE = 0.1  # of a voxel: how far sform and qform may be apart without a word


def read_header(name: str, stream: IO[bytes]) -> Any:
    """Return the header as nibabel has it, of either version.

    Raises:
        CaseReadError: it is no header of a single NIfTI file.
        SetupError: nibabel is not installed.

    """
    try:
        from nibabel import Nifti1Header, Nifti2Header
        from nibabel.spatialimages import HeaderDataError
    except ImportError as error:
        raise SetupError("NIfTI needs nibabel: pip install 'repmedsam[files]'") from error
    kinds: dict[int, Any] = {348: Nifti1Header, 540: Nifti2Header}
    head = stream.read(4)
    length = next((n for n in HEADER_BYTES if head in (n.to_bytes(4, "little"), n.to_bytes(4, "big"))), 0)
    if not length:
        raise CaseReadError(f"{name}: is not a NIfTI file (its first bytes are others)")
    block = head + stream.read(length - len(head))
    if len(block) < length:
        raise CaseReadError(f"{name}: ends within its header: it is cut off; copy it again")
    magic = block[344:348] if length == 348 else block[4:8]
    if magic != HEADER_BYTES[length]:
        raise CaseReadError(
            f"{name}: is ANALYZE or half of a pair of .hdr and .img, which may lie anywhere; convert it to one .nii.gz"
        )
    try:
        return kinds[length](block, check=False)
    except HeaderDataError as error:
        raise CaseReadError(f"{name}: its header is damaged ({error})") from error


def check_shape(name: str, header: Any) -> tuple[tuple[int, ...], int]:
    """(x, y) or (x, y, z), and how many volumes of that shape follow each other.

    Raises:
        CaseReadError: the header declares sides that make no sense, or too much.

    """
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise CaseReadError(f"{name}: its header declares {count} axes: it is damaged")
    sides = [int(side) for side in header["dim"][1 : count + 1]]
    if any(side < 1 for side in sides):
        raise CaseReadError(f"{name}: its header declares {' x '.join(map(str, sides))} voxels: it is damaged")
    if int(header["intent_code"]) // 100 == CIFTI:
        raise CaseReadError(f"{name}: is CIFTI (values on a brain's surface, or between its regions), not an image")
    shape = tuple((*sides, 1)[:2]) if count < 3 else tuple(sides[:3])
    try:
        itemsize = header.get_data_dtype().itemsize
    except KeyError:
        raise CaseReadError(f"{name}: its header declares the unknown data type {int(header['datatype'])}") from None
    size = math.prod(shape) * max(itemsize, 4 if is_scaled(header) else 1)
    if size > MAX_ARRAY_BYTES:
        raise CaseReadError(
            f"{name}: declares {' x '.join(map(str, shape))} voxels, {size / 2**30:,.1f} GiB; "
            f"the limit is {MAX_ARRAY_BYTES / 2**30:.0f} GiB"
        )
    return shape, math.prod(sides[3:])


def is_scaled(header: Any) -> bool:
    """Whether stored numbers are not yet the real ones; slope 0 means that they are."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if int(header["datatype"]) in COLOURS or slope == 0 or np.isnan(slope):
        return False
    return (slope, intercept) != (1, 0)


def affine_of(name: str, header: Any, shape: tuple[int, ...], warnings: list[str]) -> NDArray[np.float64]:
    """(4, 4) voxel indices to mm LPS: sform, else qform, else a guess. A file of two axes may leave the third at 0.

    Raises:
        CaseReadError: it has no inverse, or is not finite.

    """
    from nibabel.spatialimages import HeaderDataError

    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    sides = header["pixdim"][1 : len(shape) + 1]
    if not has_sform and not (np.isfinite(sides).all() and (sides > 0).all()):
        raise CaseReadError(
            f"{name}: its header says that voxels are {' x '.join(f'{side:g}' for side in sides)} mm large: "
            "it is damaged; correct it or export the image again"
        )
    if len(shape) < 3 and not header["pixdim"][3] > 0:
        header = header.copy()
        header["pixdim"][3] = 1
    other = None
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of infinite sides is refused below
            qform = header.get_qform() if has_qform else None
        affine = header.get_base_affine() if qform is None else qform
    except (HeaderDataError, ValueError) as error:
        if not has_sform:
            raise CaseReadError(f"{name}: its qform is damaged ({error}); correct it or export again") from error
        qform = None
    if has_sform:
        with np.errstate(invalid="ignore"):  # numpy warns of NaN of the signalling kind, which is refused below
            affine, other = header.get_sform(), qform
    mm = MM.get(int(header["xyzt_units"]) % 8, 1.0)
    to_lps = np.diag(RAS_TO_LPS)[:, None] * [[mm], [mm], [mm], [1.0]]
    affine = np.asarray(affine * to_lps, np.float64)
    check_affine(name, affine)
    if other is not None and np.isfinite(other).all():
        other = other * to_lps
        corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * [*(*shape, 1)[:3], 1]
        apart = np.linalg.norm((corners @ (other - affine).T)[:, :3], axis=1).max()
        if apart > UNLIKE * np.linalg.norm(affine[:3, :3], axis=0).min():
            warnings.append(
                f"sform and qform place voxels up to {apart:.1f} mm apart: sform was used; other programs may use qform"
            )
    if not has_sform and not has_qform:
        warnings.append(
            "its header does not say how it lies in the patient (sform and qform code 0): left and right, front and "
            "back are guessed; the label map has the same header"
        )
    return affine
