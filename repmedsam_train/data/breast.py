"""Where on a mammogram the breast is: what is bright and in one piece, beside the black ground."""

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

DARK = 0.06  # of the brightest: darker than this is the ground


def grey_of(image: U8) -> U8:
    """(H, W) or (H, W, 3) -> (H, W)."""
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def breast_of(grey: U8) -> U8:
    """(H, W) mammogram -> (H, W) of 1 on the largest part that is brighter than the ground."""
    bright = cv2.GaussianBlur(grey, (0, 0), 1.0) > max(8, DARK * int(grey.max()))
    return largest_part(np.asarray(bright, np.uint8))


def largest_part(mask: U8) -> U8:
    """The largest of a mask's connected parts; the mask itself where it is empty."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return mask
    return np.asarray(parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), np.uint8)
