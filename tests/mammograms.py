"""Drawn mammograms for tests."""

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 240
RADIUS = 100


def mammogram(seed: int) -> NDArray[np.uint8]:
    """Half a disc of `RADIUS` at the left side of (SIDE, SIDE), with texture: smoothed noise."""
    noise = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 4)
    texture = 130 + 40 * texture / texture.std()
    disc = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (0, SIDE // 2), RADIUS, 1, -1)
    return np.asarray(np.clip(texture, 40, 255) * disc, np.uint8)
