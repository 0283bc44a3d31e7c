"""Boxes of a CSV file: the columns are those of file.py, or the ends of diameters (recist.py)."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.entry import (
    CORNERS,
    MOST_NAMED,
    Entry,
    check_count,
    check_space,
    is_case,
    make_entry,
    nothing_for,
)
from repmedsam_infer.formats.boxes.recist import ENDS, LONG_ONLY, box_of_diameters
from repmedsam_infer.formats.scan import Scan

COMMON = {"case", "name", "space", "slice"}
COLUMNS = {*COMMON, *CORNERS[6]}
DELIMITERS = (",", ";", "\t")
NAMED_DELIMITER = re.compile(r"sep=(.)\r?\n")  # a first line of Excel's


@dataclass(frozen=True)
class Table:
    """A CSV file.

    header: names of its columns, in small letters.
    rows: line number and values of each that is not blank, read once, one at a time: there may be millions.
    decimal_comma: whether numbers may have one.
    """

    header: list[str]
    rows: Iterator[tuple[int, list[str]]]
    decimal_comma: bool

    def number(self, file: str, where: str, column: str, value: str) -> float:
        """Return the number of a field. Raises CaseReadError where it is none."""
        plain = value.replace(",", ".") if self.decimal_comma and value.count(",") == 1 and "." not in value else value
        try:
            if "_" in plain:  # Python's, nobody else's
                raise ValueError
            return float(plain)
        except ValueError:
            raise CaseReadError(f"{file}: {column} of {where} is '{value[:40]}', not a number") from None


def read_table(file: str, text: str) -> Table:
    """Return the table of a text; fields are parted by what the first line has most of: commas, semicolons or tabs.

    Raises:
        CaseReadError: it is no CSV; or a row is not, when it is read.

    """
    named = NAMED_DELIMITER.match(text)
    start = named.end() if named else 0
    line = text[start : start + 10_000].partition("\n")[0]
    delimiter = named.group(1) if named else max(DELIMITERS, key=line.count)
    rows = numbered_rows(file, text[start:], delimiter, 2 if named else 1)
    header = [column.strip().lower() for _, first in islice(rows, 1) for column in first]
    return Table(header, rows, delimiter != ",")


def numbered_rows(file: str, text: str, delimiter: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each row and its fields; the header is the first, blank or not."""
    try:
        for line, row in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter), first):
            if line == first or any(field.strip() for field in row):
                yield line, row
    except (csv.Error, TypeError, ValueError) as error:  # the last two: of a delimiter that cannot be one
        raise CaseReadError(f"{file}: is not valid CSV ({error})") from error


def read_csv(file: str, text: str, case_name: str, scan: Scan, notes: list[str]) -> list[Entry]:
    """Return the boxes of a case.

    Raises:
        CaseReadError: the file is not what file.py says, or has none for this case.

    """
    table = read_table(file, text)
    numbers = 2 * len(scan.shape)
    diameters = "x1" in table.header
    check_columns(file, table.header, numbers, diameters=diameters)
    entries: list[Entry] = []
    cases: dict[str, None] = {}
    for line, row in table.rows:
        if len(row) != len(table.header):
            raise CaseReadError(f"{file}: row {line} has {len(row)} values; {len(table.header)} are needed")
        values = {column: value.strip() for column, value in zip(table.header, row, strict=True)}
        if "case" in values:
            if len(cases) <= MOST_NAMED:
                cases[values["case"]] = None
            if not is_case(values["case"], case_name):
                continue
        read = diameters_of_row if diameters else box_of_row
        check_count(file, len(entries) + 1)
        entries.append(read(file, f"the box in row {line}", values, table, case_name, scan, notes))
    if cases and not entries:
        raise nothing_for(file, case_name, cases)
    return entries


def check_columns(file: str, header: list[str], numbers: int, *, diameters: bool) -> None:
    """Check that the columns that are needed are there, and all are known. Raises CaseReadError where not."""
    known = {*COMMON, *ENDS} if diameters else COLUMNS
    if diameters:
        needed: tuple[str, ...] = ENDS if set(header) & set(ENDS[4:]) else ENDS[:4]
        if numbers == 4 and needed == ENDS[:4] and "slice" not in header:
            raise CaseReadError(
                f"{file}: x1, y1, x2, y2 may be corners or ends of a diameter: call corners {', '.join(CORNERS[4])}; "
                "give a diameter with the ends of the short one (x3, y3, x4, y4), or with a column slice"
            )
    else:
        needed = CORNERS[4] if "slice" in header else CORNERS[numbers]
    missing = [column for column in needed if column not in header]
    if missing:
        raise CaseReadError(f"{file}: the column {missing[0]} is missing (needed: {', '.join(needed)})")
    odd = [column for column in header if column not in known or header.count(column) > 1]
    if odd:
        raise CaseReadError(f"{file}: the column '{odd[0][:40]}' is unknown or there twice")


def box_of_row(
    file: str, where: str, values: dict[str, str], table: Table, case_name: str, scan: Scan, _notes: list[str]
) -> Entry:
    numbers = 2 * len(scan.shape)
    if numbers == 4 and (values.get("z_min") or values.get("z_max")):
        raise CaseReadError(f"{file}: {where} has a z, and {case_name} is a picture")
    space = check_space(file, values.get("space") or "pixel", where)
    on_slice = slice_of_row(file, where, values, table)
    if on_slice is not None and (values.get("z_min") or values.get("z_max")):
        raise CaseReadError(f"{file}: {where} has a slice, and z_min or z_max; one of these at a time")
    needed = CORNERS[numbers] if on_slice is None else CORNERS[4]
    box = [table.number(file, where, column, values.get(column, "")) for column in needed]
    return make_entry(file, where, box, values.get("name", ""), space, numbers, on_slice)


def diameters_of_row(
    file: str, where: str, values: dict[str, str], table: Table, case_name: str, scan: Scan, notes: list[str]
) -> Entry:
    space = check_space(file, values.get("space") or "pixel", where)
    on_slice = slice_of_row(file, where, values, table)
    if scan.is_volume and on_slice is None:
        raise CaseReadError(f"{file}: the diameters of {where} need a slice, as {case_name} is a volume")
    columns = ENDS if any(values.get(column) for column in ENDS[4:]) else ENDS[:4]
    ends = [table.number(file, where, column, values.get(column, "")) for column in columns]
    box = box_of_diameters(f"{file}: {where}", np.array(ends).reshape(-1, 2), space, scan)
    if columns != ENDS:
        notes.append(f"{where} {LONG_ONLY}")
    name = values.get("name", "")
    return make_entry(file, where, box, name, space, 2 * len(scan.shape), on_slice if scan.is_volume else None)


def slice_of_row(file: str, where: str, values: dict[str, str], table: Table) -> float | None:
    return table.number(file, where, "slice", values["slice"]) if values.get("slice") else None
