"""Images and labels made smaller: the network sees 256 pixels, and finer ones only take room and time to read."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


def reduced_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Return (H, W) in proportion, so that the longer side is `side` pixels; unchanged where it is no longer."""
    longest = max(shape)
    if longest <= side:
        return shape
    height, width = (max(1, round(length * side / longest)) for length in shape)
    return height, width


def reduced_image(image: U8, shape: tuple[int, int]) -> U8:
    """(H, W) or (H, W, 3) -> the same of `shape`: means over the areas of the new pixels."""
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def reduced_labels(labels: NDArray[np.integer], shape: tuple[int, int]) -> NDArray[np.integer]:
    """(..., H, W) labels -> (..., *shape): of each new pixel the label at its centre, so that nothing is displaced."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp) for old, new in zip(labels.shape[-2:], shape, strict=True)
    )
    return labels[..., rows[:, None], columns]


def reduced_spacing(spacing: NDArray[np.float64], before: Sequence[int], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return (3,) mm z y x of slices of `shape` that were (H, W) `before`."""
    return spacing * [1, before[0] / shape[0], before[1] / shape[1]]
