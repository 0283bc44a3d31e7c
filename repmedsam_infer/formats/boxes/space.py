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
        space: pixel or mm.
        scan: the image that it is on.

    Raises:
        CaseReadError: it cannot be in that space.

    """
    sides = np.array(scan.shape[::-1], np.float64)
    low, high = np.split(box, 2)
    if space == "mm":
        if scan.affine is None:
            raise CaseReadError(f"{what} is in mm, and {scan.name} has no place in space; use pixels")
        low, high = box_of_mm(low, high, scan.affine)
    beyond = (low > sides - 0.5) | (high < -0.5)
    if space == "pixel":
        slack = np.maximum(FAR_OUTSIDE * sides, 2)
        beyond |= (low < -slack) | (high > sides - 1 + slack)
    if beyond.any():
        other = "mm" if space == "pixel" else "pixels"
        raise CaseReadError(
            f"{what} {format_box(box)} is not on {scan.name}, which reaches {format_range(scan, space)}; "
            f"is it in {other}, or of another image?"
        )
    return np.concatenate([low, high])


def box_of_mm(low: F64, high: F64, affine: F64) -> tuple[F64, F64]:
    """First and last voxel index, with fractions, of the box between two corners in mm LPS.

    What is thinner than a voxel becomes one index, that of its middle.
    """
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    indices = (corners - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    first, last = indices.min(0), indices.max(0)
    middle = (first + last) / 2
    return np.minimum(first + 0.5, middle), np.maximum(last - 0.5, middle)


def format_range(scan: Scan, space: str) -> str:
    """Where a scan lies, in words."""
    sides = np.array(scan.shape[::-1], np.float64)
    low, high = np.zeros(len(sides)), sides - 1
    if space == "mm":
        assert scan.affine is not None
        faces = itertools.product(*zip(low - 0.5, high + 0.5, strict=True))
        corners = np.array(list(faces)) @ scan.affine[:3, :3].T + scan.affine[:3, 3]
        low, high = corners.min(0), corners.max(0)
    ranges = zip("xyz", low, high, strict=False)
    return ", ".join(f"{axis} {first:g} to {last:g}" for axis, first, last in ranges) + f" in {space}"
