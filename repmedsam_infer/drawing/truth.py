"""Outlines of the ground truth: dashed and white, so that they are seen beside those of masks, which have colours."""

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import find_extents
from repmedsam_infer.drawing.marks import SHIFT, WHITE, Line, outlines_of

DASH, SPACE = 7.0, 5.0  # pixels


def truth_lines(truth: NDArray[np.integer], scale: tuple[float, float]) -> list[Line]:
    """Dashes along the edge of every label of an (H, W) map, on a canvas of `scale` pixels a pixel, x y."""
    extents = find_extents(truth)
    lines: list[Line] = []
    for i in np.flatnonzero(extents.counts).tolist():
        rows, columns = extents.crop(i)
        mask = np.pad(truth[rows, columns] == i + 1, 1).astype(np.uint8)
        outlines = outlines_of(mask, (columns.start - 1, rows.start - 1), scale)
        lines.append(([dash for outline in outlines for dash in dashes(outline)], False, WHITE))
    return lines


def dashes(outline: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """Cut a closed line, (P, 1, 2) in 1 / 2**SHIFT of a pixel, into open ones with spaces between them."""
    closed = np.concatenate([outline, outline[:1]])
    steps = np.linalg.norm(np.diff(closed[:, 0].astype(np.float64), axis=0), axis=1) / 2**SHIFT
    along = np.concatenate([[0.0], np.cumsum(steps)])
    if along[-1] < DASH:
        return [closed]
    starts = np.arange(0.0, along[-1], DASH + SPACE)
    parts = [closed[(along >= start) & (along <= start + DASH)] for start in starts]
    return [part for part in parts if len(part) > 1]
