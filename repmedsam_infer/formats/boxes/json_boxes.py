"""Boxes of a JSON file: the syntax is that of file.py."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.entry import (
    CORNERS,
    Entry,
    check_space,
    is_case,
    is_number,
    make_entry,
    only_keys,
)


def parse_json(file: str, text: str) -> Any:
    """Parse JSON that names nothing twice and has finite numbers. Raises CaseReadError where it is none."""

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise CaseReadError(f"{file}: '{Counter(keys).most_common(1)[0][0][:40]}' is there twice")
        return dict(pairs)

    def no_constants(name: str) -> None:
        raise CaseReadError(f"{file}: holds {name}; finite numbers are needed")

    try:
        return json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constants)
    except CaseReadError:  # of the two above: a ValueError, too
        raise
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CaseReadError(f"{file}: is not valid JSON ({reason})") from error


def read_json(file: str, text: str, case_name: str, numbers: int) -> list[Entry]:
    """Return the boxes of a case, `numbers` numbers each.

    Raises:
        CaseReadError: the file is not what file.py says, or has none for this case.

    """
    content = parse_json(file, text)
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
    return [json_box(file, f"box {i}", row, space, numbers) for i, row in enumerate(rows, 1)]


def json_box(file: str, where: str, row: Any, space: str, numbers: int) -> Entry:
    name, on_slice, follow = "", None, False
    if isinstance(row, dict):
        only_keys(file, where, row, {"box", "name", "slice", "follow"})
        row, name, on_slice, follow = row.get("box"), row.get("name", ""), row.get("slice"), row.get("follow", False)
    if not isinstance(follow, bool) or (follow and numbers == 4):
        raise CaseReadError(f"{file}: 'follow' of {where} is true or false, and true on volumes alone")
    if on_slice is not None and not is_number(on_slice):
        raise CaseReadError(f"{file}: the slice of {where} is not a number")
    if not isinstance(name, str):
        raise CaseReadError(f"{file}: the name of {where} is not a text")
    if not isinstance(row, list) or not all(is_number(value) for value in row):
        raise CaseReadError(f"{file}: {where} is not a list of {numbers} numbers ({', '.join(CORNERS[numbers])})")
    entry = make_entry(file, where, row, name, space, numbers, on_slice)
    return replace(entry, open_ended=entry.open_ended or follow)


def of_case(file: str, cases: Any, case_name: str) -> Any:
    if not isinstance(cases, dict):
        raise CaseReadError(f"{file}: 'cases' is not an object of case names and boxes")
    if case_name in cases:
        return cases[case_name]
    matching = [name for name in cases if is_case(name, case_name)]
    if len(matching) == 1:
        return cases[matching[0]]
    found = ", ".join(list(cases)[:8]) + (", ..." if len(cases) > 8 else "")
    raise CaseReadError(f"{file}: has no boxes for {case_name} (it has some for: {found or 'nothing'})")
