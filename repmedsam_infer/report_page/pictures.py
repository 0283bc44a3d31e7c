"""Drawings for a report's page as JPEG, together no larger than a page may be: overviews, and slices of volumes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from repmedsam_infer.case import Case
from repmedsam_infer.drawing.marks import U8
from repmedsam_infer.drawing.overlay import draw_overlay, fit
from repmedsam_infer.drawing.volume_sheet import Plane, draw_tile, find_profiles, find_region
from repmedsam_infer.report_page.opened import Opened

ALL_BYTES = 24 << 20  # of all pictures of a page
VOLUME_SHARE = 6  # times as much as a picture's
SMALL_SHARE, LARGE_SHARE = 0.25, 0.75  # of a picture's bytes, for the small and the large drawing
SMALL_OF_VOLUME, LARGE_OF_VOLUME = 0.08, 0.27  # the same of a volume; the rest is for slices
SMALL_SIDES, LARGE_SIDES = (120, 320), (240, 1280)  # pixels of the longest side: at least, at most
SLICE_SIDES = (192, 640)
MOST_SLICES = 64  # of a volume
LEAST_SLICES = 3  # fewer are shown by the overview as well
SLICE_BYTES = 6_000  # of a slice, at least
BYTES_A_PIXEL = 0.3  # of a noisy image, as ultrasound is
QUALITIES = (85, 70, 50)
SHRINK = 0.75


@dataclass(frozen=True)
class Slice:
    """One slice of a volume: its index along z, and a JPEG."""

    index: int
    jpeg: bytes


@dataclass(frozen=True)
class Pictures:
    """Drawings of one case.

    small, large: overviews, JPEG.
    slices: of a volume, in order; none of a picture, and where a page of so many cases has no room for them.
    depth: slices of the volume, 0 of a picture.
    first: the place among `slices` of the one that shows most.
    """

    small: bytes
    large: bytes
    slices: Sequence[Slice] = ()
    depth: int = 0
    first: int = 0


def draw_pictures(opened: Opened, budget: float) -> Pictures:
    """Draw a case in about `budget` bytes."""
    if opened.drawn is not None:
        small_drawn = shrunk(opened.drawn, side_of(budget * SMALL_SHARE, SMALL_SIDES))
        large_drawn = shrunk(opened.drawn, side_of(budget * LARGE_SHARE, LARGE_SIDES))
        return Pictures(compress(small_drawn, budget * SMALL_SHARE), compress(large_drawn, budget * LARGE_SHARE))
    is_volume = opened.case.is_volume
    small, large = budget * SMALL_OF_VOLUME, budget * LARGE_OF_VOLUME
    chosen = choose_slices(opened, int((budget - small - large) / SLICE_BYTES)) if is_volume else []
    if len(chosen) < LEAST_SLICES:
        overview = overviews(opened, budget * SMALL_SHARE, budget * LARGE_SHARE)
        return Pictures(*overview, depth=opened.case.shape[0] if is_volume else 0)
    slices = draw_slices(opened, chosen, (budget - small - large) / len(chosen))
    marked = [int(np.count_nonzero(opened.segs[one.index])) for one in slices]
    return Pictures(*overviews(opened, small, large), slices, opened.case.shape[0], int(np.argmax(marked)))


def overviews(opened: Opened, small: float, large: float) -> tuple[bytes, bytes]:
    """Return an overview of at most about `small` bytes, and one of `large`."""
    sizes = ((small, side_of(small, SMALL_SIDES)), (large, side_of(large, LARGE_SIDES)))
    first, second = (
        compress(draw_overlay(opened.case, opened.segs, side, opened.extras), limit) for limit, side in sizes
    )
    return first, second


def side_of(limit: float, sides: tuple[int, int]) -> int:
    """Return the longest side, within `sides`, of a drawing that has about `limit` bytes."""
    return round(min(max(math.sqrt(limit / BYTES_A_PIXEL), sides[0]), sides[1]))


def shrunk(drawing: U8, longest: int) -> U8:
    if max(drawing.shape[:2]) <= longest:
        return drawing
    return np.asarray(cv2.resize(drawing, fit(drawing.shape[:2], longest), interpolation=cv2.INTER_AREA), np.uint8)


def choose_slices(opened: Opened, most: int) -> list[int]:
    """Return at most `most` slices at even distances, from the first to the last with an object, and some around."""
    most = min(most, MOST_SLICES)
    if most < LEAST_SLICES:
        return []
    depth, corners = opened.case.shape[0], opened.case.boxes.corners
    has_objects = opened.segs.any(axis=(1, 2))
    if opened.extras.truth is not None:
        has_objects |= opened.extras.truth.any(axis=(1, 2))
    ends = [*np.flatnonzero(has_objects).tolist(), *corners[:, [2, 5]].ravel().astype(int).tolist()] or [0, depth - 1]
    around = max(2, (max(ends) - min(ends)) // 8)
    low, high = max(min(ends) - around, 0), min(max(ends) + around, depth - 1)
    return list(range(low, high + 1, math.ceil((high - low + 1) / most)))


def draw_slices(opened: Opened, chosen: Sequence[int], limit: float) -> list[Slice]:
    """Draw these slices around all objects, each of at most about `limit` bytes."""
    side = side_of(limit, SLICE_SIDES)
    _, rows, columns = find_region(opened.case, find_profiles(opened.case, opened.segs))
    region = slice(0, opened.case.shape[0]), at_least_half(rows, opened.case, 1), at_least_half(columns, opened.case, 2)
    slices = []
    for index in chosen:
        canvas = draw_tile(opened.case, opened.segs, Plane(0, index, region), (side, side), opened.extras)
        if canvas is not None:
            slices.append(Slice(index, compress(canvas.pixels, limit)))
    return slices


def at_least_half(shown: slice, case: Case, axis: int) -> slice:
    """Widen what is shown of an axis to half of it."""
    side = case.shape[axis]
    extent = max(shown.stop - shown.start, side // 2)
    start = min(max((shown.start + shown.stop - extent) // 2, 0), side - extent)
    return slice(start, start + extent)


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
        drawing = shrunk(drawing, max(1, round(max(height, width) * SHRINK)))
