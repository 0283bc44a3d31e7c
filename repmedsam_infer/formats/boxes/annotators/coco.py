"""Boxes of COCO's JSON: images, annotations on them, categories.

A bbox is [x, y, width, height], measured from the upper left corner of the image, whose first pixel reaches from 0 to
1. It holds the pixels x to x + width - 1. Where an annotation has only a segmentation of polygons, their extent is its
box.
"""

from typing import Any

import numpy as np

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.annotators.pictures import box_between, check_picture, check_size
from repmedsam_infer.formats.boxes.entry import (
    Entry,
    check_count,
    is_case,
    make_entry,
    nothing_for,
    numbers_of,
    records_of,
    text_of,
)
from repmedsam_infer.formats.scan import Scan


def is_coco(content: Any) -> bool:
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def read_coco(file: str, content: dict[str, Any], case_name: str, scan: Scan, _notes: list[str]) -> list[Entry]:
    """Return the boxes of the annotations on the image that is called as the case, with their categories as names.

    Raises:
        CaseReadError: there is no such image, or an annotation on it has no box.

    """
    check_picture(file, "COCO", scan)
    image = image_of(file, records_of(file, content, "images"), case_name)
    check_size(file, image.get("width"), image.get("height"), scan)
    categories = records_of(file, content, "categories") if "categories" in content else []
    names = {key_of(category.get("id")): text_of(category.get("name")) for category in categories}
    wanted = key_of(image.get("id"))
    entries: list[Entry] = []
    for i, annotation in enumerate(records_of(file, content, "annotations"), 1):
        if key_of(annotation.get("image_id")) == wanted:
            where = f"annotation {i}"
            name = names.get(key_of(annotation.get("category_id")), "")
            check_count(file, len(entries) + 1)
            entries.append(make_entry(file, where, box_of(file, where, annotation), name, "pixel", 4))
    return entries


def image_of(file: str, images: list[dict[str, Any]], case_name: str) -> dict[str, Any]:
    """Return the image whose file_name is the case's, with the same ending where there are several."""
    named = [(text_of(image.get("file_name")), image) for image in images]
    found = [(name, image) for name, image in named if is_case(name, case_name)]
    same = [(name, image) for name, image in found if name.replace("\\", "/").rpartition("/")[2] == case_name]
    if not found:
        raise nothing_for(file, case_name, (name for name, _ in named))
    if len(found) > 1 and len(same) != 1:
        raise CaseReadError(f"{file}: {len(found)} images are called {case_name} ({found[0][0]}, {found[1][0]}, ...)")
    image = (same or found)[0][1]
    if not isinstance(image.get("id"), int | str):
        raise CaseReadError(f"{file}: the image {case_name} has no id")
    return image


def key_of(identifier: Any) -> tuple[str, str]:
    """Return an id so that 1 and "1" differ, and whatever a file has there can be compared."""
    return (type(identifier).__name__, str(identifier)) if isinstance(identifier, int | str) else ("", "")


def box_of(file: str, where: str, annotation: dict[str, Any]) -> list[float]:
    if annotation.get("bbox"):
        numbers = numbers_of(annotation["bbox"], 4)
        if numbers is None or min(numbers[2:]) <= 0:
            raise CaseReadError(
                f"{file}: the bbox of {where} is not x, y, width, height, with a width and a height above 0"
            )
        if max(numbers[2:]) < 1:
            raise CaseReadError(
                f"{file}: the bbox of {where} is smaller than a pixel: if it is in fractions of the image, write pixels"
            )
        corner = np.array(numbers[:2])
        return box_between(corner, corner + numbers[2:])
    polygons = annotation.get("segmentation")
    if not isinstance(polygons, list) or not polygons:
        raise CaseReadError(f"{file}: {where} has neither a bbox nor polygons; give it a bbox")
    points = [point for polygon in polygons for point in points_of(file, where, polygon)]
    return box_between(np.min(points, 0), np.max(points, 0))


def points_of(file: str, where: str, polygon: Any) -> list[list[float]]:
    """Return the points of [x1, y1, x2, y2, ...]."""
    numbers = numbers_of(polygon, len(polygon)) if isinstance(polygon, list) else None
    if not numbers or len(numbers) % 2:
        raise CaseReadError(f"{file}: a polygon of {where} is not a list of x, y, x, y, ...")
    return [numbers[i : i + 2] for i in range(0, len(numbers), 2)]
