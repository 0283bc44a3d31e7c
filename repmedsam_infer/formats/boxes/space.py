"""Boxes in patient millimetres, to boxes of voxels; and which boxes cannot be what they say.

A voxel reaches half a voxel around its centre, which is its index. A box of voxels first..last, ends inclusive, is
therefore the same as one with its faces at first - 0.5 and last + 0.5, and mm are about faces.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import format_box
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]

FAR_OUTSIDE = 0.25  # of a side: a box in pixels that reaches further beyond the image than that is not in pixels


def to_voxels(what: str, box: F64, space: str, scan: Scan) -> F64:
    """Return a box in voxel indices, (4,) or (6,), ends inclusive.

    Args:
        what: the box, for messages.
        box: (4,) or (6,), lower corner, then upper corner.
        space: pixel or mm; or voxels, found by `box_of_points`.
        scan: the image that it is on.

    Raises:
        CaseReadError: it cannot be in that space.

    """
    sides = np.array(scan.shape[::-1], np.float64)
    low, high = np.split(box, 2)
    if space == "mm":
        low, high = box_of_mm(low, high, affine_of(what, scan))
    beyond = (low > sides - 0.5) | (high < -0.5)
    if space == "pixel":
        slack = np.maximum(FAR_OUTSIDE * sides, 2)
        beyond |= (low < -slack) | (high > sides - 1 + slack)
    if beyond.any():
        other = {"pixel": "in mm, or ", "mm": "in pixels, or "}.get(space, "")
        raise CaseReadError(
            f"{what} {format_box(box)} is not on {scan.name}, which reaches {format_range(scan, space)}; "
            f"is it {other}of another image?"
        )
    return np.concatenate([low, high])


def affine_of(what: str, scan: Scan) -> F64:
    """Return the scan's affine. Raises CaseReadError where it lies nowhere; `what` is in mm."""
    if scan.affine is None:
        raise CaseReadError(f"{what} is in mm, and {scan.name} has no place in space; use pixels")
    return scan.affine


def box_of_mm(low: F64, high: F64, affine: F64) -> tuple[F64, F64]:
    """First and last voxel index, with fractions, of the box between two corners in mm LPS."""
    return box_of_points(np.array(list(itertools.product(*zip(low, high, strict=True)))), affine)


def box_of_points(points: F64, affine: F64) -> tuple[F64, F64]:
    """First and last voxel index, with fractions, of the smallest box that holds (N, 3) points in mm LPS."""
    indices = to_indices(points, affine)
    return between_faces(indices.min(0), indices.max(0))


def to_indices(points: F64, affine: F64) -> F64:
    """(N, 3) mm LPS to voxel indices, x y z."""
    return np.asarray((points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T)


def between_faces(low: F64, high: F64) -> tuple[F64, F64]:
    """First and last index between two faces, as indices; what is thinner than a voxel becomes that of its middle."""
    middle = (low + high) / 2
    return np.minimum(low + 0.5, middle), np.maximum(high - 0.5, middle)


def between_edges(low: F64, high: F64) -> tuple[F64, F64]:
    """First and last pixel between edges of a picture whose first pixel reaches from 0 to 1, as in COCO and LabelMe."""
    return between_faces(low - 0.5, high - 0.5)


def format_range(scan: Scan, space: str) -> str:
    """Where a scan lies, in words."""
    sides = np.array(scan.shape[::-1], np.float64)
    low, high = np.zeros(len(sides)), sides - 1
    if space == "mm":
        assert scan.affine is not None
        faces = itertools.product(*zip(low - 0.5, high + 0.5, strict=True))
        corners = np.array(list(faces)) @ scan.affine[:3, :3].T + scan.affine[:3, 3]
        low, high = corners.min(0), corners.max(0)
    unit = "mm" if space == "mm" else "pixel"
    ranges = zip("xyz", low, high, strict=False)
    return ", ".join(f"{axis} {first:g} to {last:g}" for axis, first, last in ranges) + f" in {unit}"
