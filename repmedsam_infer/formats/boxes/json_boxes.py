"""Boxes of a JSON file of our own kind: the syntax is that of file.py."""

from dataclasses import replace
from typing import Any

import numpy as np

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.entry import (
    CORNERS,
    Entry,
    check_count,
    check_space,
    is_case,
    is_number,
    make_entry,
    nothing_for,
    numbers_of,
    only_keys,
)
from repmedsam_infer.formats.boxes.recist import LONG_ONLY, box_of_diameters
from repmedsam_infer.formats.scan import Scan


def read_json(file: str, content: Any, case_name: str, scan: Scan, notes: list[str]) -> list[Entry]:
    """Return the boxes of a case in what JSON holds.

    Raises:
        CaseReadError: it is not what file.py says, or has none for this case.

    """
    if isinstance(content, dict) and "cases" in content:
        only_keys(file, "the file", content, {"cases"})
        content = of_case(file, content["cases"], case_name)
    if isinstance(content, list):
        content = {"boxes": content}
    if not isinstance(content, dict) or "boxes" not in content:
        example = '{"space": "pixel", "boxes": [...]}'
        raise CaseReadError(f"{file}: a list of boxes or {example} is needed for {case_name}")
    only_keys(file, "a list of boxes", content, {"space", "boxes"})
    space = check_space(file, content.get("space", "pixel"), "the boxes")
    rows = content["boxes"]
    if not isinstance(rows, list):
        raise CaseReadError(f"{file}: 'boxes' is not a list")
    if rows and all(is_number(value) for value in rows):
        rows = [rows]
    check_count(file, len(rows))
    return [json_box(file, f"box {i}", row, space, scan, notes) for i, row in enumerate(rows, 1)]


def json_box(file: str, where: str, row: Any, space: str, scan: Scan, notes: list[str]) -> Entry:
    numbers = 2 * len(scan.shape)
    name, on_slice, follow, diameters = "", None, False, None
    if isinstance(row, dict):
        only_keys(file, where, row, {"box", "recist", "name", "slice", "follow"})
        if "box" in row and "recist" in row:
            raise CaseReadError(f"{file}: {where} has 'box' and 'recist'; one of these at a time")
        name, on_slice, follow = row.get("name", ""), row.get("slice"), row.get("follow", False)
        row, diameters = row.get("box"), row.get("recist")
    if not isinstance(follow, bool) or (follow and numbers == 4):
        raise CaseReadError(f"{file}: 'follow' of {where} is true or false, and true on volumes alone")
    if on_slice is not None and not is_number(on_slice):
        raise CaseReadError(f"{file}: the slice of {where} is not a number")
    if not isinstance(name, str):
        raise CaseReadError(f"{file}: the name of {where} is not a text")
    if diameters is not None:
        row = json_diameters(file, where, diameters, space, scan, notes)
        if scan.is_volume and on_slice is None:
            raise CaseReadError(f"{file}: the diameters of {where} need a 'slice', as the image is a volume")
    if not isinstance(row, list) or not all(is_number(value) for value in row):
        raise CaseReadError(f"{file}: {where} is not a list of {numbers} numbers ({', '.join(CORNERS[numbers])})")
    entry = make_entry(file, where, row, name, space, numbers, on_slice)
    return replace(entry, open_ended=entry.open_ended or follow)


def json_diameters(file: str, where: str, ends: Any, space: str, scan: Scan, notes: list[str]) -> list[float]:
    """Return the box of four numbers of [[x, y], ...], the ends of one diameter or two."""
    points = [numbers_of(point, 2) for point in ends] if isinstance(ends, list) else []
    found = [point for point in points if point is not None]
    if len(found) not in (2, 4) or len(found) < len(points):
        raise CaseReadError(f"{file}: 'recist' of {where} is not a list of two or four points [x, y]")
    if len(found) == 2:
        notes.append(f"{where} {LONG_ONLY}")
    return box_of_diameters(f"{file}: {where}", np.array(found), space, scan)


def of_case(file: str, cases: Any, case_name: str) -> Any:
    if not isinstance(cases, dict):
        raise CaseReadError(f"{file}: 'cases' is not an object of case names and boxes")
    if case_name in cases:
        return cases[case_name]
    matching = [name for name in cases if is_case(name, case_name)]
    if len(matching) == 1:
        return cases[matching[0]]
    raise nothing_for(file, case_name, cases)
