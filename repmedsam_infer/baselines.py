"""Two segmentations that anyone gets for free of the boxes alone: what a network has to beat."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.extents import find_extents
from repmedsam_infer.overlap import bottom_to_top

Baseline = Literal["box", "ellipse"]


def fill_boxes(shape: tuple[int, ...], boxes: NDArray[np.integer], kind: Baseline) -> NDArray[np.uint16]:
    """Labels of the filled boxes, or of the ellipses (ellipsoids) inscribed in them.

    Args:
        shape: (H, W) or (D, H, W).
        boxes: (N, 4) or (N, 6), x first, ends inclusive; box i writes label i + 1, stacked as masks are
            (overlap.py).

    """
    segs = np.zeros(shape, np.uint16)
    axes = len(shape)
    for i in bottom_to_top(boxes).tolist():
        label, box = i + 1, boxes[i]
        low, high = box[:axes][::-1], box[axes:][::-1]
        window = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
        if kind == "box":
            segs[window] = label
            continue
        sides = [s.stop - s.start for s in window]
        # Distance from the centre in half-sides, at the pixels' centres; 1 on the ellipse.
        distance = sum(
            np.square((np.arange(side) + 0.5 - side / 2) / (side / 2)).reshape(
                [-1 if a == axis else 1 for a in range(axes)]
            )
            for axis, side in enumerate(sides)
        )
        segs[window][distance <= 1] = label
    return segs


def tight_boxes(gts: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N, 4) or (N, 6) inclusive extents of the labels 1..N; a label that is not there gets an inverted, empty box."""
    found = find_extents(gts)
    return np.concatenate([found.low[:, ::-1], found.high[:, ::-1]], 1)
