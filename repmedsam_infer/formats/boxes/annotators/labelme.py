"""Boxes of LabelMe's JSON: shapes on one picture.

Points are measured from the upper left corner of the picture, whose first pixel reaches from 0 to 1. A rectangle is two
opposite corners, a circle its middle and a point on it; of polygons the extent is taken. A shape of the type mask has
two corners, too, but as pixels, the last one included. Shapes of one label and one group_id are one object.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.annotators.pictures import box_between, check_picture, check_size
from repmedsam_infer.formats.boxes.entry import (
    Entry,
    check_count,
    counted,
    is_case,
    make_entry,
    nothing_for,
    numbers_of,
    records_of,
    text_of,
)
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]

AREAS = {"rectangle": 2, "oriented_rectangle": 3, "polygon": 3, "circle": 2, "mask": 2}  # least number of points


def is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and "shapes" in content


def read_labelme(file: str, content: dict[str, Any], case_name: str, scan: Scan, notes: list[str]) -> list[Entry]:
    """Return the box of each shape that has an area; others are left out with a warning.

    Raises:
        CaseReadError: the file is of another picture, or a shape is not what this module's docstring says.

    """
    check_picture(file, "LabelMe", scan)
    image = text_of(content.get("imagePath"))
    if image and not is_case(image, case_name):
        raise nothing_for(file, case_name, [image])
    check_size(file, content.get("imageWidth"), content.get("imageHeight"), scan)
    check_count(file, len(records_of(file, content, "shapes")))
    objects: dict[tuple[str, Any], tuple[str, F64]] = {}
    others = []
    for i, shape in enumerate(records_of(file, content, "shapes"), 1):
        kind, label, group = shape.get("shape_type", "polygon"), text_of(shape.get("label")), shape.get("group_id")
        if not isinstance(kind, str) or kind not in AREAS:
            others.append(str(kind))
            continue
        where = f"shape {i}"
        box = box_of_shape(file, where, kind, shape.get("points"))
        key = (label, ("group", group)) if isinstance(group, int) else (label, i)
        where, known = objects.get(key, (where, box))
        objects[key] = where, np.concatenate([np.minimum(known[:2], box[:2]), np.maximum(known[2:], box[2:])])
    if others:
        notes.append(f"shapes without an area were left out ({counted(others)})")
    return [make_entry(file, where, box.tolist(), label, "pixel", 4) for (label, _), (where, box) in objects.items()]


def box_of_shape(file: str, where: str, kind: str, raw: Any) -> F64:
    """(4,) pixels, the last one included."""
    given = [numbers_of(point, 2) for point in raw] if isinstance(raw, list) else []
    points = np.array([point for point in given if point is not None])
    if len(points) < max(AREAS[kind], len(given)):
        raise CaseReadError(f"{file}: {where}, a {kind}, needs at least {AREAS[kind]} points of two numbers")
    low, high = points.min(0), points.max(0)
    if kind == "circle":
        radius = float(np.linalg.norm(points[1] - points[0]))
        low, high = points[0] - radius, points[0] + radius
    return np.concatenate([low, high]) if kind == "mask" else np.array(box_between(low, high))
