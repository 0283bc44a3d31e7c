"""Overlays for a report's page: JPEG, small and large, together no larger than a page may be."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case
from repmedsam_infer.drawing.marks import U8
from repmedsam_infer.drawing.overlay import draw_overlay

ALL_BYTES = 24 << 20  # of all pictures of a page
SMALL_SHARE = 0.25  # of those, for the small ones
SMALL_SIDES, LARGE_SIDES = (120, 240), (240, 1280)  # pixels of the longest side: at least, at most
BYTES_A_PIXEL = 0.3  # of a noisy image, as ultrasound is
QUALITIES = (85, 70, 50)
SHRINK = 0.75


def draw_pictures(case: Case, segs: NDArray[Any], cases: int) -> tuple[bytes, bytes]:
    """Return the small and the large picture of one of so many `cases`."""
    budget = ALL_BYTES / cases
    small = budget * SMALL_SHARE
    return picture(case, segs, small, SMALL_SIDES), picture(case, segs, budget - small, LARGE_SIDES)


def picture(case: Case, segs: NDArray[Any], limit: float, sides: tuple[int, int]) -> bytes:
    """Return a JPEG of at most about `limit` bytes, as large as that allows."""
    side = round(min(max(math.sqrt(limit / BYTES_A_PIXEL), sides[0]), sides[1]))
    return compress(draw_overlay(case, segs, side), limit)


def compress(drawing: U8, limit: float) -> bytes:
    """JPEG of an (h, w, 3) RGB drawing: of less quality, then of fewer pixels, until it is small enough."""
    while True:
        for quality in QUALITIES:
            options = [cv2.IMWRITE_JPEG_QUALITY, quality]
            # Colour at full resolution: lines are a pixel or two wide.
            options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
            _, jpeg = cv2.imencode(".jpg", drawing[..., ::-1], options)
            if len(jpeg) <= limit:
                return jpeg.tobytes()
        height, width = drawing.shape[:2]
        if max(height, width) <= 64:
            return jpeg.tobytes()
        size = max(1, round(width * SHRINK)), max(1, round(height * SHRINK))
        drawing = np.asarray(cv2.resize(drawing, size, interpolation=cv2.INTER_AREA), np.uint8)
