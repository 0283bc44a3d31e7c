"""A labelled case: read from an npz file, made smaller, its labels numbered without gaps."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import MAX_BOXES, bottom_to_top, find_extents
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.io.case_files import is_volume_name
from repmedsam_infer.io.npz import open_npz
from repmedsam_train.data.reduction import reduced_image, reduced_labels, reduced_shape, reduced_spacing

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]

SIDE = 352  # longest side in pixels that cases are reduced to: more than the frame's 256, so that crops stay sharp


@dataclass(frozen=True)
class LabelledCase:
    """name: of the npz file. imgs: (D, H, W, 1 or 3) uint8, D is 1 for a picture. gts: (D, H, W) uint16, 0 on nothing.

    spacing: mm along z, y and x; 1 where it is not known. is_volume: whether boxes have six numbers.
    """

    name: str
    imgs: U8
    gts: U16
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def is_volume(self) -> bool:
        return is_volume_name(self.name)


def read_labelled(path: Path) -> LabelledCase:
    """Read `imgs` and `gts` (and `spacing`) of an npz file.

    Raises:
        CaseReadError: it cannot be read, or holds something else.

    """
    with open_npz(path) as npz:
        imgs, gts = npz.read("imgs"), npz.read("gts")
        spacing = npz.read("spacing") if "spacing" in npz else np.ones(3)
    if gts.ndim == 2:
        imgs, gts = imgs[None], gts[None]
    return labelled(path.name, imgs, gts, tuple(float(x) for x in np.ravel(spacing)[:3]))


def labelled(name: str, imgs: NDArray[Any], gts: NDArray[Any], spacing: tuple[float, ...] = (1.0,) * 3) -> LabelledCase:
    """imgs: (D, H, W) or (D, H, W, 3) uint8; three channels that are alike become one. gts: (D, H, W) integers.
    spacing: three numbers.

    Raises:
        CaseReadError: they are something else, or do not belong together.

    """
    if imgs.dtype != np.uint8 or imgs.ndim not in {3, 4} or imgs.shape[3:] not in {(), (3,)} or imgs.size == 0:
        raise CaseReadError(f"{name}: imgs is {imgs.dtype} {imgs.shape}; uint8 images are needed")
    if gts.dtype.kind not in "iu" or gts.shape != imgs.shape[:3]:
        raise CaseReadError(f"{name}: gts is {gts.dtype} {gts.shape}; a label map of the image's shape is needed")
    if gts.min() < 0 or gts.max() > MAX_BOXES:
        raise CaseReadError(f"{name}: gts has labels from {gts.min()} to {gts.max()}; 0 to {MAX_BOXES} are possible")
    if len(spacing) != 3 or not np.isfinite(spacing).all():
        raise CaseReadError(f"{name}: spacing is {spacing}; three finite numbers are needed (mm along z, y and x)")
    colour = imgs if imgs.ndim == 4 else imgs[..., None]
    if (colour == colour[..., :1]).all():
        colour = colour[..., :1]
    return LabelledCase(name, np.ascontiguousarray(colour), np.ascontiguousarray(gts, np.uint16), spacing)


def reduced(case: LabelledCase, side: int) -> LabelledCase:
    """Reduce the longest side of every slice to `side`: pixels by area, labels by the nearest centre.

    Objects that are thinner than a pixel then may vanish.
    """
    height, width = case.gts.shape[1:]
    shape = reduced_shape((height, width), side)
    if shape == (height, width):
        return case
    gts = np.asarray(reduced_labels(case.gts, shape), np.uint16)
    imgs = np.stack([reduced_image(image, shape) for image in case.imgs]).reshape(*gts.shape, -1)
    spacing = reduced_spacing(np.array(case.spacing), (height, width), shape)
    return replace(case, imgs=imgs, gts=gts, spacing=tuple(spacing.tolist()))


@dataclass(frozen=True)
class Layers:
    """Labels 1..N in the order in which they are painted (boxes.py): what is higher lies over what is lower.

    gts: (D, H, W) int16. extents: (N, 6) float32, x y z of the first and x y z of the last voxel.
    """

    gts: NDArray[np.int16]
    extents: NDArray[np.float32]


def in_layers(gts: U16) -> Layers:
    """Give the labels of (D, H, W) new numbers from 1 on, without gaps: all others are painted over label 1."""
    found = find_extents(gts)
    present = np.flatnonzero(found.counts)
    corners = np.concatenate([found.low[present, ::-1], found.high[present, ::-1]], 1)
    order = bottom_to_top(corners) if len(present) else np.zeros(0, np.intp)
    table = np.zeros(len(found.counts) + 1, np.int16)
    table[present[order] + 1] = np.arange(1, len(order) + 1)
    return Layers(table[gts], corners[order].astype(np.float32).reshape(-1, 6))
