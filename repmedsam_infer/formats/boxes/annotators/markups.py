"""Boxes of 3D Slicer's markups (.mrk.json): its ROIs, which may be oblique, in mm.

A ROI has a center, a size along its own axes, and an orientation: nine numbers, row by row, of a matrix whose columns
are the axes. Files of Slicer's own have all three; in others the first control point is the center. A ROI without a
size holds its control points (BoundingBox). Coordinates are LPS, unless the file says RAS. Other markups (points,
lines, curves) are left out with a warning.
"""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.entry import Entry, check_count, counted, make_entry, numbers_of, records_of, text_of
from repmedsam_infer.formats.boxes.space import affine_of, box_of_points
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]

TO_LPS = {"LPS": np.ones(3), "RAS": np.array([-1.0, -1.0, 1.0])}
MM = {"mm": 1.0, "um": 0.001}
UPRIGHT = [1.0, 0, 0, 0, 1, 0, 0, 0, 1]


def is_markups(content: Any) -> bool:
    return isinstance(content, dict) and "markups" in content


def read_markups(file: str, content: dict[str, Any], _case_name: str, scan: Scan, notes: list[str]) -> list[Entry]:
    """Return the box of voxels of each ROI: the smallest that holds its corners.

    Raises:
        CaseReadError: there is no ROI, one is not what this module's docstring says, or the scan lies nowhere.

    """
    markups = records_of(file, content, "markups")
    check_count(file, len(markups))
    entries = []
    others = []
    for i, markup in enumerate(markups, 1):
        if markup.get("type") != "ROI":
            others.append(text_of(markup.get("type")) or "no type")
            continue
        where = f"ROI {i}"
        points = corners_of(file, where, markup)
        low, high = box_of_points(points, affine_of(f"{file}: {where}", scan))
        entries.append(make_entry(file, where, [*low, *high], name_of_roi(markup), "voxels", 6))
    if others:
        notes.append(f"markups that are no ROI were left out ({counted(others)})")
    if not entries:
        raise CaseReadError(f"{file}: there is no ROI among its {len(markups)} markups; draw boxes as Slicer's ROI")
    return entries


def corners_of(file: str, where: str, markup: dict[str, Any]) -> F64:
    """(N, 3) mm LPS that the box of a ROI has to hold: its eight corners, or its control points."""
    system, unit = markup.get("coordinateSystem", "LPS"), markup.get("coordinateUnits", "mm")
    unit = unit[0] if isinstance(unit, list) and unit else unit
    if not isinstance(system, str) or system not in TO_LPS:
        raise CaseReadError(f"{file}: the coordinateSystem of {where} is {str(system)[:40]!r}; LPS or RAS is needed")
    if not isinstance(unit, str) or unit not in MM:
        raise CaseReadError(f"{file}: the coordinateUnits of {where} are {str(unit)[:40]!r}; mm is needed")
    to_lps = TO_LPS[system] * MM[unit]
    points = positions_of(file, where, markup)
    if markup.get("size") is None:
        if len(points) < 2:
            raise CaseReadError(f"{file}: {where} has no size; draw it to its end in 3D Slicer")
        low, high = points.min(0), points.max(0)
        return np.array(list(itertools.product(*zip(low, high, strict=True)))) * to_lps
    size = numbers_of(markup["size"], 3)
    axes = numbers_of(markup.get("orientation", UPRIGHT), 9)
    center = numbers_of(markup["center"], 3) if "center" in markup else points[0].tolist() if len(points) else None
    if size is None or axes is None or center is None or min(size) < 0:
        raise CaseReadError(
            f"{file}: {where} needs a center and a size of 3 numbers, sizes not below 0, and an orientation of 9"
        )
    matrix = np.reshape(axes, (3, 3))
    if not np.allclose(matrix.T @ matrix, np.eye(3), atol=0.01):
        raise CaseReadError(f"{file}: the orientation of {where} is not one of three axes at right angles, of length 1")
    offsets = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) * size
    return np.asarray((center + offsets @ matrix.T) * to_lps)


def positions_of(file: str, where: str, markup: dict[str, Any]) -> F64:
    """(N, 3) control points that were placed."""
    points = []
    for point in controls_of(markup):
        if point.get("positionStatus", "defined") == "defined" and point.get("position") is not None:
            position = numbers_of(point["position"], 3)
            if position is None:
                raise CaseReadError(f"{file}: a control point of {where} is not at 3 numbers")
            points.append(position)
    return np.array(points, np.float64).reshape(-1, 3)


def name_of_roi(markup: dict[str, Any]) -> str:
    """Return the markup's name, else what its first control point is described as, or called; else nothing."""
    first = next(iter(controls_of(markup)), {})
    return text_of(markup.get("name")) or text_of(first.get("description")) or text_of(first.get("label"))


def controls_of(markup: dict[str, Any]) -> list[dict[str, Any]]:
    points = markup.get("controlPoints")
    return [point for point in points if isinstance(point, dict)] if isinstance(points, list) else []
