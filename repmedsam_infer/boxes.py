"""Boxes as people send them, to boxes that can be segmented.

A 2D box is x_min y_min x_max y_max, a 3D box x_min y_min z_min x_max y_max z_max, in pixels, ends inclusive.
A box that cannot be used is dropped with a warning that names it; its label stays empty.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError

MAX_BOXES = 65_535  # labels of a uint16 segmentation


@dataclass(frozen=True)
class Boxes:
    """The usable boxes of a case.

    corners: (K, 4) or (K, 6) float64, sorted, clipped to the image.
    labels: (K,) int64, the label that each writes: its place in the input, from 1.
    count: how many boxes the input had.
    """

    corners: NDArray[np.float64]
    labels: NDArray[np.int64]
    count: int


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
        return Boxes(np.zeros((0, numbers)), np.zeros(0, np.int64), 0), ["there are no boxes: nothing was segmented"]
    rows = raw[None] if raw.ndim == 1 else raw
    if rows.ndim != 2 or rows.shape[1] != numbers:
        order = "x_min y_min x_max y_max" if dimension == 2 else "x_min y_min z_min x_max y_max z_max"
        raise CaseReadError(
            f"{name}: boxes of shape {raw.shape} on a {dimension}D case; (N, {numbers}) is needed ({order}). "
            "A name that begins with 3D makes a case 3D"
        )
    if len(rows) > MAX_BOXES:
        raise CaseReadError(f"{name}: {len(rows)} boxes; at most {MAX_BOXES} can be labelled")

    warnings: list[str] = []
    corners: list[NDArray[np.float64]] = []
    labels: list[int] = []
    for label, row in enumerate(rows.astype(np.float64), 1):
        box, warning = check_box(row, shape)
        if warning:
            warnings.append(f"box {label} {format_box(row)}: {warning}")
        if box is not None:
            corners.append(box)
            labels.append(label)
    stacked = np.stack(corners) if corners else np.zeros((0, numbers))
    return Boxes(stacked, np.asarray(labels, np.int64), len(rows)), warnings


def check_box(row: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[NDArray[np.float64] | None, str]:
    """The box sorted and clipped to the image, or None; and a warning, or an empty string."""
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
