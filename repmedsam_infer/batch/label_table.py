"""labels.csv: a row an object, for spreadsheets and statistics."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from repmedsam_infer.batch.report import CaseReport, ObjectReport
from repmedsam_infer.errors import printable
from repmedsam_infer.system.regular import open_regular

CORNERS = ("x_min", "y_min", "z_min", "x_max", "y_max", "z_max")
COLUMNS = (
    *("case", "label", "name", *CORNERS),
    *("voxels", "area_mm2", "volume_ml", "confidence", "warnings"),
)
FORMULA = ("=", "+", "-", "@")  # a spreadsheet takes a cell that begins so for one, and works it out


def label_table(reports: Iterable[CaseReport]) -> bytes:
    """Return the table of all objects, UTF-8; cells that are not known, or make no sense, are empty."""
    return table_head() + table_rows(reports)


def table_head() -> bytes:
    """Return its first line, which names the columns."""
    return f"{','.join(COLUMNS)}\n".encode()


def table_rows(reports: Iterable[CaseReport]) -> bytes:
    """Return its lines about these cases."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    for report in reports:
        if report.status != "failed":
            writer.writerows(row(report.case, one) for one in report.objects)
    return table.getvalue().encode()


def is_table(path: Path) -> bool:
    """Whether a file is such a table, which may be replaced by a newer one."""
    start = ",".join(COLUMNS).encode()
    try:
        with open_regular(path) as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def row(case: str, one: ObjectReport) -> Iterator[str]:
    box = one.box if len(one.box) == len(CORNERS) else [*one.box[:2], None, *one.box[2:4], None]
    yield from (text(case), str(one.label), text(one.name))
    yield from (number(value) for value in (*box, one.pixels, one.area_mm2, one.volume_ml))
    yield number(one.confidence, digits=4)
    yield text("; ".join(one.warnings))


def number(value: float | None, digits: int = 10) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def text(value: str) -> str:
    """Return what strangers wrote as one line that no spreadsheet takes for a formula."""
    line = printable(value)
    return f"'{line}" if line.startswith(FORMULA) else line
