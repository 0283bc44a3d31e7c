"""How large each object of a label map is: area or volume, and longest diameters.

A diameter is the longest distance between two points on the object's surface, where surface points lie in the middle of
the sides that its pixels or voxels turn outwards: a row of n pixels is n pixels long, a single one 1. Volumes have two:
the longest within the whole object, and the longest within any one slice as acquired. In mm where spacing is known.
Spacing of any size is taken, as files may state any: what no float can hold is infinite or 0.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import find_extents

Mask = NDArray[np.bool_]
Points = NDArray[np.int64]
PAIRS_AT_ONCE = 1 << 20  # of points whose distances are in memory at a time


@dataclass(frozen=True)
class Measure:
    """One object.

    label: its label.
    count: pixels or voxels.
    size: mm2 or mm3, may be infinite; None where spacing is not known.
    diameter: the longest, in mm, or in pixels where spacing is not known. In a volume of unknown spacing voxels are
        taken for cubes.
    slice_diameter: the longest within one slice, likewise; of a picture the same as `diameter`.
    slice: which slice that is; 0 of a picture.
    first, last: its first and last slice; 0 and 0 of a picture.
    """

    label: int
    count: int
    size: float | None
    diameter: float
    slice_diameter: float
    slice: int
    first: int
    last: int


def measure_labels(segs: NDArray[np.integer], spacing: Sequence[float] | None) -> Iterator[Measure]:
    """Measures of the labels of an (H, W) or (D, H, W) map that are there, in order.

    spacing: mm along each axis of the map, or None.
    """
    extents = find_extents(segs)
    mm, unit = in_unit(np.ones(segs.ndim) if spacing is None else np.asarray(spacing, np.float64))
    for i in np.flatnonzero(extents.counts).tolist():
        crop = extents.crop(i)
        count = int(extents.counts[i])
        planes = segs[crop] if segs.ndim == 3 else segs[crop][None]
        first = crop[0].start if segs.ndim == 3 else 0
        outlines = [(z, hull_points(plane == i + 1)) for z, plane in enumerate(planes)]
        within = [(longest_distance(points, mm[-2:]), z) for z, points in outlines if len(points)]
        slice_diameter, z = max(within, key=lambda pair: (pair[0], -pair[1]))
        diameter = slice_diameter
        if segs.ndim == 3:
            stacked = np.concatenate([np.insert(points, 0, z, axis=1) for z, points in outlines])
            diameter = longest_distance(corner_points(stacked), mm)
        size = None if spacing is None else count * math.prod(float(side) for side in spacing)
        last = first + len(planes) - 1
        yield Measure(i + 1, count, size, diameter * unit, slice_diameter * unit, first + z, first, last)


def in_unit(mm: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return spacing below 2 and its unit in mm, a power of two: squares of it stay within floats."""
    exponent = math.frexp(float(mm.max()))[1] - 1
    return np.ldexp(mm, -exponent), math.ldexp(1.0, exponent)


def hull_points(mask: Mask) -> Points:
    """(P, 2) y x of the pixels of an (H, W) mask that are corners of its convex hull; none where it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return np.zeros((0, 2), np.int64)
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    return hull_of(np.concatenate([np.stack([rows, left], 1), np.stack([rows, right], 1)]))


def hull_of(points: NDArray[np.integer]) -> Points:
    """Those of (P, 2) points that are corners of their convex hull."""
    hull = cv2.convexHull(np.ascontiguousarray(points, np.int32))
    return np.asarray(hull, np.int64).reshape(-1, 2)


def corner_points(points: Points) -> Points:
    """Those of (P, 3) points z y x, corners of each slice's hull, that are corners of the hulls along y and x, too.

    A corner of the whole hull is one in every plane through it: these are few, and the ends of the diameter are among
    them.
    """
    for axis in (1, 2):
        others = [a for a in range(3) if a != axis]
        points = points[np.argsort(points[:, axis], kind="stable")]
        groups = np.split(points, np.flatnonzero(np.diff(points[:, axis])) + 1)
        points = np.concatenate(
            [np.insert(hull_of(group[:, others]), axis, group[0, axis], axis=1) for group in groups]
        )
    return points


def longest_distance(points: Points, mm: NDArray[np.float64]) -> float:
    """Return the longest distance between surfaces of the pixels or voxels at (P, A) `points`, `mm` along each axis.

    mm: in a unit of which it is less than 2.
    """
    steps = np.diag(mm) / 2
    sides = (points[:, None] * mm + np.concatenate([steps, -steps])[None]).reshape(-1, len(mm))
    one = farthest(sides, sides.mean(axis=0))
    other = farthest(sides, one)
    middle, longest = (one + other) / 2, float(np.linalg.norm(one - other))
    # What is in a pair still farther apart is at least this far from the middle: its partner is at most radii.max().
    places = sides - middle
    radii = np.linalg.norm(places, axis=1)
    places = places[radii >= longest - radii.max() - 1e-9]
    squares = (places**2).sum(axis=1)
    step = max(1, PAIRS_AT_ONCE // len(places))
    for start in range(0, len(places), step):
        part = slice(start, start + step)
        apart = squares[part, None] + squares[None] - 2 * places[part] @ places.T
        longest = max(longest, float(apart.max(initial=0)) ** 0.5)
    return longest


def farthest(places: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the place of (P, A) that is farthest from the place `of`, (A,)."""
    return places[((places - of) ** 2).sum(axis=1).argmax()]
