"""Boxes: those of users, checked; which of them lies on top; and those around the labels of a label map.

A 2D box is x_min y_min x_max y_max, a 3D box x_min y_min z_min x_max y_max z_max, in pixels, ends inclusive.
A box that cannot be used is dropped with a warning that names it; its label stays empty.

Where masks overlap, the one of the smaller box lies on top, of equal boxes the later one. The challenge leaves it open,
and its baseline lets later boxes lie over earlier ones: an accident of numbering, which hides the cup of an optic disc,
or the core of a tumour, behind the larger mask around it. What has a box of its own inside another's is almost always a
part of it, or lies in front of it (docs/experiments.md has figures). Training follows the rule, too: what a smaller
box's object covers is no error of the larger one's mask.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError

NO_BOXES = "there are no boxes: nothing was segmented"  # a warning
MAX_BOXES = 65_535  # labels of a uint16 segmentation
PIXELS_AT_ONCE = 1 << 18  # of a label map: what is found of each takes 8 bytes


@dataclass(frozen=True)
class Boxes:
    """The usable boxes of a case.

    corners: (K, 4) or (K, 6) float64, sorted, clipped to the image.
    labels: (K,) int64, the label that each writes: its place in the input, from 1.
    count: how many boxes the input had.
    open_ended: labels of boxes on one slice of a volume: how far their objects go on from there is to be found.
    """

    corners: NDArray[np.float64]
    labels: NDArray[np.int64]
    count: int
    open_ended: frozenset[int] = frozenset()


def check_boxes(name: str, raw: NDArray[Any], shape: tuple[int, ...]) -> tuple[Boxes, list[str]]:
    """Usable boxes and warnings.

    Args:
        name: the case, for messages.
        raw: the array as it was in the file.
        shape: (H, W) or (D, H, W).

    Raises:
        CaseReadError: `raw` as a whole is not an array of boxes of this dimension.

    """
    dimension = len(shape)
    numbers = 2 * dimension
    if raw.dtype.kind not in "iuf":
        raise CaseReadError(f"{name}: boxes are of type {raw.dtype}; numbers are needed")
    if raw.size == 0:
        return Boxes(np.zeros((0, numbers)), np.zeros(0, np.int64), 0), [NO_BOXES]
    rows = raw[None] if raw.ndim == 1 else raw
    if rows.ndim != 2 or rows.shape[1] != numbers:
        order = "x_min y_min x_max y_max" if dimension == 2 else "x_min y_min z_min x_max y_max z_max"
        raise CaseReadError(
            f"{name}: boxes of shape {raw.shape} on a {dimension}D case; (N, {numbers}) is needed ({order}). "
            "A name that begins with 3D makes a case 3D"
        )
    if len(rows) > MAX_BOXES:
        raise CaseReadError(f"{name}: {len(rows)} boxes; at most {MAX_BOXES} can be labelled")
    with np.errstate(over="ignore", invalid="ignore"):  # `check_box` speaks of what is not finite
        corners_given, fractions = rows.astype(np.float64), are_fractions(rows)
    if fractions:
        sides = " ".join(str(side) for side in shape[::-1])
        raise CaseReadError(
            f"{name}: all boxes lie between 0 and 1, as fractions of the image do; multiply them by its sides "
            f"({sides}): pixels are needed"
        )

    warnings: list[str] = []
    corners: list[NDArray[np.float64]] = []
    labels: list[int] = []
    for label, row in enumerate(corners_given, 1):
        box, warning = check_box(row, shape)
        if warning:
            warnings.append(f"box {label} {format_box(row)}: {warning}")
        if box is not None:
            corners.append(box)
            labels.append(label)
    stacked = np.stack(corners) if corners else np.zeros((0, numbers))
    return Boxes(stacked, np.asarray(labels, np.int64), len(rows)), warnings


def are_fractions(rows: NDArray[Any]) -> bool:
    """Whether boxes look like fractions of an image's sides: all between 0 and 1, and not whole."""
    return bool(((rows >= 0) & (rows <= 1)).all() and (rows != np.rint(rows)).any())


def check_box(row: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[NDArray[np.float64] | None, str]:
    """Return the box sorted and clipped to the image, or None; and a warning, or an empty string."""
    sides = np.array(shape[::-1], np.float64)  # x y [z]
    warning = ""
    if not np.isfinite(row).all():
        return None, "is not finite; its label stays empty"
    low, high = row[: len(sides)], row[len(sides) :]
    if (low > high).any():
        low, high = np.minimum(low, high), np.maximum(low, high)
        warning = "its corners were out of order and were swapped"
    if (low > sides - 1).any() or (high < 0).any():
        return None, f"is outside the image ({' x '.join(str(s) for s in shape[::-1])}); its label stays empty"
    if (low[:2] == high[:2]).all():
        return None, "is empty (a single point); its label stays empty"
    # An end equal to the side is an exclusive end, common enough to pass without a word.
    if not warning and ((low < 0).any() or (high > sides).any()):
        warning = "reaches beyond the image and was clipped"
    return np.concatenate([np.clip(low, 0, sides - 1), np.clip(high, 0, sides - 1)]), warning


def format_box(row: NDArray[np.float64]) -> str:
    return "[" + " ".join(f"{v:g}" for v in row) + "]"


def bottom_to_top(boxes: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.intp]:
    """(N,) indices of (N, 4) or (N, 6) inclusive boxes in the order in which to paint them."""
    return np.argsort(-sizes_of(boxes), kind="stable")


def sizes_of(boxes: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
    """(N,) pixels or voxels in boxes."""
    axes = boxes.shape[1] // 2
    return np.prod(np.maximum(boxes[:, axes:] - boxes[:, :axes] + 1.0, 0), axis=1)


@dataclass(frozen=True)
class Extents:
    """The labels 1..N of a label map.

    low, high: (N, 2) y x or (N, 3) z y x int64, ends inclusive; a label that is not there has low > high.
    counts: (N,) int64 pixels or voxels.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    counts: NDArray[np.int64]

    def crop(self, index: int) -> tuple[slice, ...]:
        """Where label index + 1 is, as an index into the label map; empty where it is not."""
        return tuple(slice(a, b + 1) for a, b in zip(self.low[index].tolist(), self.high[index].tolist(), strict=True))


def find_extents(segs: NDArray[np.integer], count: int | None = None) -> Extents:
    """Extents of the labels of an (H, W) or (D, H, W) map; higher labels than `count`, if it is given, do not count."""
    slices = segs[None] if segs.ndim == 2 else segs
    count = int(segs.max(initial=0)) if count is None else count
    low = np.full((count + 1, 3), max(slices.shape), np.int64)
    high = np.full((count + 1, 3), -1, np.int64)
    counts = np.zeros(count + 1, np.int64)
    width = slices.shape[2]
    rows = max(1, PIXELS_AT_ONCE // max(width, 1))
    for z, first_row in itertools.product(range(len(slices)), range(0, slices.shape[1], rows)):
        flat = slices[z, first_row : first_row + rows].ravel()
        where = np.flatnonzero(flat)
        if not len(where):
            continue
        labels = flat[where].astype(np.int64)
        if labels.max() > count:
            where, labels = where[labels <= count], labels[labels <= count]
        counts += np.bincount(labels, minlength=count + 1)
        present = np.unique(labels)
        low[present, 0] = np.minimum(low[present, 0], z)
        high[present, 0] = z
        for axis, position in ((1, where // width + first_row), (2, where % width)):
            np.minimum.at(low[:, axis], labels, position)
            np.maximum.at(high[:, axis], labels, position)
    first = 3 - segs.ndim
    return Extents(low[1:, first:], high[1:, first:], counts[1:])


def tight_boxes(gts: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N, 4) or (N, 6) inclusive extents of the labels 1..N; a label that is not there gets an inverted, empty box."""
    found = find_extents(gts)
    return np.concatenate([found.low[:, ::-1], found.high[:, ::-1]], 1)
