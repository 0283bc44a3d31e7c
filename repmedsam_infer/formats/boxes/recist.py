"""Boxes of diameters, as RECIST measures lesions: two points, or four, on one slice.

The box of a long and a short diameter holds their four ends. A long diameter alone says how large the object is at
most, in any direction: its box is the square around the circle that it is the diameter of.
"""

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.entry import FARTHEST
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]

ENDS = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")  # columns of a CSV file, the long diameter's first
LONG_ONLY = "has a long diameter alone: the square around it was taken"


def box_of_diameters(what: str, points: F64, space: str, scan: Scan) -> list[float]:
    """Return x_min, y_min, x_max, y_max.

    Args:
        what: for messages.
        points: (2, 2) or (4, 2) x y, the ends of the long diameter, then of the short one.
        space: pixel or mm.
        scan: the image; its pixels need not be square.

    Raises:
        CaseReadError: points that are not finite, or a diameter of length 0.

    """
    if not (np.abs(points) <= FARTHEST).all():
        raise CaseReadError(f"{what} is not finite, or beyond any image")
    if (points[0] == points[1]).all():
        raise CaseReadError(f"{what} has a long diameter of length 0")
    if len(points) == 4:
        return [*points.min(0).tolist(), *points.max(0).tolist()]
    size = np.ones(2) if space == "mm" or scan.spacing is None else scan.spacing[:0:-1]
    half = np.linalg.norm((points[1] - points[0]) * size) / 2 / size
    middle = points.mean(0)
    return [*(middle - half).tolist(), *(middle + half).tolist()]
