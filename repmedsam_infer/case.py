"""A case in, a segmentation out: the challenge's npz contract, checked.

The file's name decides: `3D*` is a volume, anything else a picture. Input arrays are `imgs`, `boxes` and, for
volumes, `spacing`; the output has the same file name and one array, `segs`.
"""

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import MAX_BOXES, Boxes, check_boxes
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.io.atomic import write_result
from repmedsam_infer.io.case_files import is_volume_name
from repmedsam_infer.io.npz import NpzFile, open_npz
from repmedsam_infer.io.zip_writer import zipped

MAX_BOXES_BYTES = 2 * MAX_BOXES * 6 * 8  # a file with somewhat more boxes than can be labelled still has them counted
LABEL_BYTES = 2  # a pixel
MASK_BYTES = 1  # of a box that is all of a picture
PARTS_BYTES = 5

Segmentation = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Case:
    """One input, ready to be segmented.

    name: the file's name.
    imgs: uint8; a picture (H, W) or (H, W, 3), a volume (D, H, W) or (D, H, W, 3).
    boxes: the usable ones.
    spacing: (3,) float64 z y x in mm, or None.
    warnings: what was odd about the input, for the user.
    """

    name: str
    imgs: NDArray[np.uint8]
    boxes: Boxes
    spacing: NDArray[np.float64] | None
    warnings: tuple[str, ...]
    is_volume: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W) or (D, H, W): the segmentation's shape."""
        return self.imgs.shape[: 3 if self.is_volume else 2]

    def empty_segmentation(self) -> Segmentation:
        """All background; uint8 where the labels fit, else uint16."""
        return np.zeros(self.shape, np.uint8) if self.boxes.count <= 255 else np.zeros(self.shape, np.uint16)


def read_case(path: Path) -> Case:
    """Read and check the case at `path`.

    Raises:
        CaseReadError: the file is unsafe, damaged or not what the contract says.

    """
    name = path.name
    is_volume = is_volume_name(name)
    with open_npz(path) as npz:
        declared = npz.declared("imgs")
        check_axes(name, declared.shape, is_volume=is_volume)
        raw_boxes = npz.read("boxes", MAX_BOXES_BYTES)
        raw_imgs = npz.read("imgs", besides=peak_bytes(declared.shape, declared.dtype, is_volume=is_volume))
        raw_spacing, odd = read_spacing(npz) if is_volume else (None, ())
    case = make_case(name, raw_imgs, raw_boxes, is_volume=is_volume, raw_spacing=raw_spacing)
    return replace(case, warnings=(*odd, *case.warnings)) if odd else case


def read_spacing(npz: NpzFile) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
    """Return the array `spacing` where it may be one, and a warning where it cannot; no more than its header is read
    then.
    """
    if "spacing" not in npz:
        return None, ()
    declared = npz.declared("spacing")
    if declared.shape != (3,):
        return None, (f"spacing of shape {declared.shape} is not three positive numbers and was ignored",)
    return npz.read("spacing"), ()


def peak_bytes(shape: tuple[int, ...], dtype: np.dtype[Any], *, is_volume: bool) -> int:
    """Estimate what segmenting an image takes besides the image as it was read.

    It is the image with 8 bits, where it had others; two bytes a pixel for labels; for volumes the parts of an object
    (postprocess.drop_small_parts), whose box may be all of the volume; and what is compressed of the result.
    """
    pixels = math.prod(shape[: 3 if is_volume else 2])
    grey = 0 if dtype == np.uint8 else math.prod(shape)
    return grey + pixels * (LABEL_BYTES + PARTS_BYTES if is_volume else LABEL_BYTES + MASK_BYTES)


def make_case(
    name: str,
    raw_imgs: NDArray[Any],
    raw_boxes: NDArray[Any],
    *,
    is_volume: bool,
    raw_spacing: NDArray[Any] | None = None,
) -> Case:
    """Return a case of arrays as people send them; `name` is what messages call it.

    Raises:
        CaseReadError: an array is not what the contract says.

    """
    imgs = check_images(name, raw_imgs, is_volume=is_volume)
    shape = imgs.shape[: 3 if is_volume else 2]
    boxes, warnings = check_boxes(name, raw_boxes, shape)
    spacing = None
    if raw_spacing is not None:
        spacing = check_spacing(raw_spacing)
        if spacing is None:
            warnings.append(f"spacing {raw_spacing.tolist()} is not three positive numbers and was ignored")
    if imgs.min() == imgs.max():
        warnings.append("the image is constant everywhere: its masks mean nothing")
    return Case(name, imgs, boxes, spacing, tuple(warnings), is_volume)


def check_images(name: str, imgs: NDArray[Any], *, is_volume: bool) -> NDArray[np.uint8]:
    """`imgs` as uint8, a picture (H, W[, 3]) or a volume (D, H, W[, 3]).

    Other number types are taken where their values are whole grey levels of the contract, 0 to 255; rescaling anything
    else would be a guess (which window?) that changes the mask.
    """
    check_axes(name, imgs.shape, is_volume=is_volume)
    if imgs.ndim == (4 if is_volume else 3) and imgs.shape[-1] == 1:
        imgs = imgs[..., 0]
    if imgs.dtype.kind not in "iufb":
        raise CaseReadError(f"{name}: imgs is of type {imgs.dtype}; uint8 is needed")
    if imgs.dtype == np.uint8:
        return np.ascontiguousarray(imgs)
    if imgs.dtype.kind == "f":
        bad = sum(part.size - int(np.count_nonzero(np.isfinite(part))) for part in imgs)
        if bad:
            raise CaseReadError(f"{name}: imgs has {bad:,} values that are NaN or infinite")
    low, high = imgs.min(), imgs.max()
    if low < 0 or high > 255:
        raise CaseReadError(
            f"{name}: imgs is {imgs.dtype} with values from {low:g} to {high:g}; 0 to 255 is needed. "
            "Choose an intensity window and rescale to uint8 first"
        )
    if imgs.dtype.kind in "fb" and 0 < high <= 1:
        raise CaseReadError(f"{name}: imgs is {imgs.dtype} with values up to {high:g}; multiply by 255 first")
    grey = np.empty(imgs.shape, np.uint8)
    for part, of_grey in zip(imgs, grey, strict=True):  # a slice or a row at a time: no copy of the whole
        of_grey[...] = np.rint(part) if imgs.dtype.kind == "f" else part
    return grey


def check_axes(name: str, shape: tuple[int, ...], *, is_volume: bool) -> None:
    """Raise CaseReadError where `imgs` of this shape is no picture, or no volume."""
    kind, axes = ("3D", "(D, H, W) or (D, H, W, 3)") if is_volume else ("2D", "(H, W, 3) or (H, W)")
    rank = 3 if is_volume else 2
    if len(shape) not in (rank, rank + 1) or (len(shape) > rank and shape[-1] not in (1, 3)):
        raise CaseReadError(f"{name}: imgs of shape {shape} in a {kind} case; {axes} is needed")
    if 0 in shape:
        raise CaseReadError(f"{name}: imgs of shape {shape} is empty")


def check_spacing(raw: NDArray[Any]) -> NDArray[np.float64] | None:
    if raw.shape != (3,) or raw.dtype.kind not in "iuf":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        spacing = raw.astype(np.float64)
    return spacing if np.isfinite(spacing).all() and (spacing > 0).all() else None


def write_segmentation(path: Path, segs: Segmentation) -> None:
    """Write `segs` as npz to `path`: whole, or not at all.

    Raises:
        CaseWriteError: the disk is full, the folder read-only, ...

    """
    whole = np.ascontiguousarray(segs)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(whole))
    content = b"".join(zipped("segs.npy", header.getvalue(), whole.reshape(-1).view(np.uint8).data))
    write_result(path, content, "the segmentation")
