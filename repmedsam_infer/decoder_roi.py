"""The region of interest (ROI) that the decoder covers for a box: the box, some of its surroundings, nothing else.

Every object then fills the decoder's grid alike, whether it is 8 pixels wide or 200: small ones get logits finer than
the image's pixels, and the decoder learns one size instead of all.
"""

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.preprocess import FRAME_SIZE

SURROUNDINGS = 1 / 8  # of the box's sides, on each side
MARGIN = 4.0  # frame pixels more, on each side

# (N, 4) inclusive boxes -> (N, 4) rois is linear: boxes @ WIDEN + SHIFT, in numpy as in torch.
WIDEN = (
    (1 + SURROUNDINGS, 0.0, -SURROUNDINGS, 0.0),
    (0.0, 1 + SURROUNDINGS, 0.0, -SURROUNDINGS),
    (-SURROUNDINGS, 0.0, 1 + SURROUNDINGS, 0.0),
    (0.0, -SURROUNDINGS, 0.0, 1 + SURROUNDINGS),
)
SHIFT = (-SURROUNDINGS - MARGIN,) * 2 + (1 + SURROUNDINGS + MARGIN,) * 2

F32 = NDArray[np.float32]


def rois_around(boxes: F32) -> F32:
    """(N, 4) inclusive x_min y_min x_max y_max -> (N, 4) left, top, right, bottom edges, all in frame pixels.

    Pixel i covers i to i + 1. ROIs may reach beyond the frame.
    """
    return (boxes @ np.array(WIDEN, np.float32) + np.array(SHIFT, np.float32)).astype(np.float32)


def whole_frame(count: int) -> F32:
    """(count, 4) ROIs of the whole frame, for networks without focus."""
    return np.tile(np.array([0, 0, FRAME_SIZE, FRAME_SIZE], np.float32), (count, 1))


def resampling(positions: NDArray[np.float64], count: int) -> F32:
    """(P, count) matrix that interpolates linearly between `count` samples, at positions in units of samples.

    Sample i lies at i + 0.5; beyond the first and the last their values go on.
    """
    at = np.clip(positions - 0.5, 0, count - 1)[:, None]
    return np.maximum(0, 1 - np.abs(at - np.arange(count))).astype(np.float32)


def interpolated(values: F32, positions: NDArray[np.float64]) -> F32:
    """(C, K) samples -> (P, K): `resampling` applied to them.

    Not as the matrix product that it is: numpy's threads for those go on spinning after each, and the network, waiting
    for the processors, took twice as long.
    """
    at = np.clip(positions - 0.5, 0, len(values) - 1)
    lower = np.minimum(at.astype(np.intp), max(len(values) - 2, 0))
    part = (at - lower).astype(np.float32)[:, None]
    result = values[lower]
    result *= 1 - part
    result += values[np.minimum(lower + 1, len(values) - 1)] * part
    return result
