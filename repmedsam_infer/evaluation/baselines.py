"""Two segmentations that anyone gets for free of the boxes alone: what a network has to beat."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import bottom_to_top

Baseline = Literal["box", "ellipse"]


def fill_boxes(shape: tuple[int, ...], boxes: NDArray[np.integer], kind: Baseline) -> NDArray[np.uint16]:
    """Labels of the filled boxes, or of the ellipses (ellipsoids) inscribed in them.

    Args:
        shape: (H, W) or (D, H, W).
        boxes: (N, 4) or (N, 6), x first, ends inclusive; box i writes label i + 1, stacked as masks are
            (boxes.py).

    """
    segs = np.zeros(shape, np.uint16)
    axes = len(shape)
    for i in bottom_to_top(boxes).tolist():
        label, box = i + 1, boxes[i]
        low, high = box[:axes][::-1], box[axes:][::-1]
        crop = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
        if kind == "box":
            segs[crop] = label
            continue
        sides = [s.stop - s.start for s in crop]
        # Distance from the centre in half-sides, at the pixels' centres; 1 on the ellipse.
        distance = sum(
            np.square((np.arange(side) + 0.5 - side / 2) / (side / 2)).reshape(
                [-1 if a == axis else 1 for a in range(axes)]
            )
            for axis, side in enumerate(sides)
        )
        segs[crop][distance <= 1] = label
    return segs
