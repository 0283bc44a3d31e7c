"""Boxes of a CSV file: the columns are those of file.py."""

import csv
import io

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.entry import CORNERS, Entry, check_space, is_case, make_entry

COLUMNS = {"case", "name", "space", "slice", *CORNERS[6]}


def read_csv(file: str, text: str, case_name: str, numbers: int) -> list[Entry]:
    """Return the boxes of a case, as of `json_boxes.read_json`."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise CaseReadError(f"{file}: is not valid CSV ({error})") from error
    header = csv_header(file, rows, numbers)
    entries: list[Entry] = []
    cases: dict[str, None] = {}
    for line, row in enumerate(rows[1:], 2):
        if not any(value.strip() for value in row):
            continue
        where = f"the box in row {line}"
        if len(row) != len(header):
            raise CaseReadError(f"{file}: row {line} has {len(row)} values; {len(header)} are needed")
        values = {column: value.strip() for column, value in zip(header, row, strict=True)}
        if "case" in values:
            cases[values["case"]] = None
            if not is_case(values["case"], case_name):
                continue
        if numbers == 4 and (values.get("z_min") or values.get("z_max")):
            raise CaseReadError(f"{file}: {where} has a z, and {case_name} is a picture")
        space = check_space(file, values.get("space") or "pixel", where)
        on_slice = csv_number(file, where, "slice", values["slice"]) if values.get("slice") else None
        if on_slice is not None and (values.get("z_min") or values.get("z_max")):
            raise CaseReadError(f"{file}: {where} has a slice, and z_min or z_max; one of these at a time")
        needed = CORNERS[numbers] if on_slice is None else CORNERS[4]
        box = [csv_number(file, where, column, values.get(column, "")) for column in needed]
        entries.append(make_entry(file, where, box, values.get("name", ""), space, numbers, on_slice))
    if cases and not entries:
        found = ", ".join(list(cases)[:8]) + (", ..." if len(cases) > 8 else "")
        raise CaseReadError(f"{file}: has no boxes for {case_name} (it has some for: {found})")
    return entries


def csv_header(file: str, rows: list[list[str]], numbers: int) -> list[str]:
    """Return the names of the columns, all of them known."""
    header = [column.strip().lower() for column in rows[0]] if rows else []
    needed = CORNERS[4] if "slice" in header else CORNERS[numbers]
    missing = [column for column in needed if column not in header]
    if missing:
        hint = "; columns are parted by commas" if len(header) == 1 and (";" in header[0] or "\t" in header[0]) else ""
        raise CaseReadError(f"{file}: the column {missing[0]} is missing (needed: {', '.join(needed)}){hint}")
    odd = [column for column in header if column not in COLUMNS or header.count(column) > 1]
    if odd:
        raise CaseReadError(f"{file}: the column '{odd[0]}' is unknown or there twice")
    return header


def csv_number(file: str, where: str, column: str, value: str) -> float:
    try:
        if "_" in value:  # Python's, nobody else's
            raise ValueError
        return float(value)
    except ValueError:
        raise CaseReadError(f"{file}: {column} of {where} is '{value[:40]}', not a number") from None
