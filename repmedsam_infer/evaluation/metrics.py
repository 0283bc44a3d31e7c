"""DSC and NSD of one object (challenge definition: tolerance 2 mm).

NSD is a share of surface elements, as DeepMind's surface-distance package computes it (Nikolov et al. 2018,
arXiv:1809.04430). An element lies where 4 pixels or 8 voxels meet: it is the piece of contour or of marching-cubes
surface that separates those that are set from those that are not, and counts with its length in mm or area in mm2.
"""

import functools
import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Point = tuple[float, ...]  # in a cube of side 1, whose corners are the centres of neighbouring voxels
TOLERANCE_MM = 2.0
EXTREME = 1e6  # times the tolerance: spacing above it, or below its inverse, is taken for that


def dsc(gt: Mask, seg: Mask) -> float:
    """Dice similarity coefficient; NaN where both are empty."""
    total = int(gt.sum()) + int(seg.sum())
    return 2 * int((gt & seg).sum()) / total if total else float("nan")


def nsd(gt: Mask, seg: Mask, spacing: tuple[float, ...], tolerance: float = TOLERANCE_MM) -> float:
    """Normalised surface Dice: the share of both surfaces within `tolerance` of the other one.

    Args:
        gt, seg: (H, W) or (D, H, W).
        spacing: mm along each axis, as many as there are axes.

    Returns:
        0 to 1; 0 where just one is empty, NaN where both are.

    """
    if not gt.any() or not seg.any():
        return float("nan") if not gt.any() and not seg.any() else 0.0
    spacing = tuple(min(max(side, tolerance / EXTREME), tolerance * EXTREME) for side in spacing)
    crop = bounding_crop(gt | seg)
    code_gt, code_seg = neighbour_codes(gt[crop]), neighbour_codes(seg[crop])
    surface = element_sizes(spacing)
    border_gt, border_seg = is_border(code_gt), is_border(code_seg)
    to_gt = ndimage.distance_transform_edt(~border_gt, sampling=spacing)
    to_seg = ndimage.distance_transform_edt(~border_seg, sampling=spacing)
    size_gt, size_seg = surface[code_gt[border_gt]], surface[code_seg[border_seg]]
    close = size_gt[to_seg[border_gt] <= tolerance].sum() + size_seg[to_gt[border_seg] <= tolerance].sum()
    return float(close / (size_gt.sum() + size_seg.sum()))


def nsd_of_flat_volume(gt: Mask, seg: Mask) -> float:
    """Compute NSD as the challenge does for a picture: of an (H, W, 1) volume of spacing 1, all surface."""
    return nsd(gt[..., None], seg[..., None], (1.0, 1.0, 1.0))


def bounding_crop(mask: Mask) -> tuple[slice, ...]:
    (crop,) = ndimage.find_objects(mask.astype(np.uint8))
    assert crop is not None
    return tuple(crop)


def neighbour_codes(mask: Mask) -> NDArray[np.int64]:
    """For each corner between voxels, which of the 4 or 8 voxels around it are set: the first voxel is the highest bit,
    the last axis runs fastest.
    """
    bits = 2 ** np.arange(2**mask.ndim)[::-1].reshape((2,) * mask.ndim)
    padded = np.pad(mask.astype(np.int64), [(0, 1)] * mask.ndim)
    return ndimage.correlate(padded, bits, mode="constant", cval=0)


def is_border(codes: NDArray[np.int64]) -> Mask:
    """Corners around which some voxels are set and some are not."""
    full = 2 ** (2**codes.ndim) - 1
    return (codes != 0) & (codes != full)


@functools.cache
def element_sizes(spacing: tuple[float, ...]) -> Floats:
    """Contour length in mm (16 codes) or surface area in mm2 (256 codes) for each neighbour code."""
    scale = np.prod(spacing) / np.asarray(spacing)  # an area vector's component grows with the spacing of other axes
    return np.linalg.norm(element_normals(len(spacing)) * scale, axis=-1).sum(axis=-1)


@functools.cache
def element_normals(axes: int) -> Floats:
    """Return normal vectors of the segments (2 axes) or triangles (3 axes) of every neighbour code, at spacing 1.

    Their norms are lengths or areas; their signs have no meaning. The surface crosses each edge between a set and an
    unset corner in its middle. On a face whose only two set corners are diagonal, it cuts off singly the two corners of
    the kind that is rarer in the whole cube (with 4 of each, the area is the same either way). So a code and its
    complement have the same normals.

    Returns:
        (16, 2, 2) or (256, 4, 3), zeros where a code has fewer elements.

    """
    corners: list[Point] = list(itertools.product((0, 1), repeat=axes))
    faces = list(square_faces(axes))
    full = 2 ** len(corners) - 1
    normals = np.zeros((full + 1, 2 * (axes - 1), axes))
    for code in range(1, full // 2 + 1):
        other = full ^ code
        fewer = min(code, other, key=int.bit_count)
        inside = {corner for k, corner in enumerate(reversed(corners)) if fewer >> k & 1}
        segments = [segment for face in faces for segment in face_segments(face, inside)]
        if axes == 2:
            elements = [(end[1] - start[1], start[0] - end[0]) for start, end in segments]
        else:
            elements = [normal for polygon in polygons(dict(segments)) for normal in fan_normals(polygon)]
        normals[[code, other], : len(elements)] = elements
    return normals


def square_faces(axes: int) -> Iterator[list[Point]]:
    """Return the square itself, or the cube's 6 faces: 4 corners each, all counter-clockwise or all clockwise."""
    square: list[Point] = [(0, 0), (1, 0), (1, 1), (0, 1)]
    if axes == 2:
        yield square
        return
    for axis, side in itertools.product(range(3), (0, 1)):
        face: list[Point] = [tuple(np.roll((side, *corner), axis).tolist()) for corner in square]
        yield face if side else face[::-1]


def face_segments(face: list[Point], inside: set[Point]) -> Iterator[tuple[Point, Point]]:
    """One segment round each run of set corners along the face's rim: from the edge before it to the edge after it."""

    def middle(k: int) -> Point:
        return tuple((a + b) / 2 for a, b in zip(face[k % 4], face[(k + 1) % 4], strict=True))

    for first in range(4):
        if face[first] in inside and face[first - 1] not in inside:
            last = next(k for k in range(first, first + 4) if face[(k + 1) % 4] not in inside)
            yield middle(first - 1), middle(last)


def polygons(following: dict[Point, Point]) -> Iterator[list[Point]]:
    """Return closed polygons of segments, given as each start's end; a segment begins where one of another face ends.

    Empties `following`.
    """
    while following:
        point, polygon = next(iter(following)), []
        while point in following:
            polygon.append(point)
            point = following.pop(point)
        yield polygon


def fan_normals(polygon: list[Point]) -> Floats:
    """Area vectors (n - 2, 3) of the triangles that a polygon of n points is cut into, from one of its points.

    Pentagons and hexagons may not be flat. The point is then the one that gives the largest area at spacing 1.
    """
    n = len(polygon)
    fans = np.array(polygon)[np.add.outer(np.arange(n), np.arange(n)) % n]  # (start, point, axis)
    spokes = fans[:, 1:] - fans[:, :1]
    normals = np.cross(spokes[:, :-1], spokes[:, 1:]) / 2
    return normals[np.linalg.norm(normals, axis=-1).sum(axis=-1).argmax()]
