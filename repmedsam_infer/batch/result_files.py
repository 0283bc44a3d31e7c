"""What a run leaves beside the segmentations: efficiency.csv for the challenge, report.json for programs, labels.csv
for people.
"""

import contextlib
import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from repmedsam_infer.batch.journal import read_journal
from repmedsam_infer.batch.label_table import is_table, label_table
from repmedsam_infer.batch.report import (
    EFFICIENCY,
    REPORT,
    STATUSES,
    CaseReport,
    Run,
    as_json,
    json_bytes,
    read_efficiency,
    read_run,
)
from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.system.regular import is_regular
from repmedsam_infer.system.streams import complain

LABELS = "labels.csv"
MOST_BYTES = 2 << 30  # of a report.json that a run goes on with


def write_files(folder: Path, reports: Sequence[CaseReport], setting: dict[str, Any]) -> bool:
    """Write the three, each on its own: what hinders one leaves the others; returns whether all were written."""
    contents: dict[str, Callable[[], bytes]] = {
        EFFICIENCY: lambda: efficiency_table(folder / EFFICIENCY, reports),
        REPORT: lambda: report_json(reports, setting),
        LABELS: lambda: label_table(reports),
    }
    written = [write_one(folder / name, content) for name, content in contents.items()]
    return all(written)


def write_one(path: Path, content: Callable[[], bytes]) -> bool:
    """Write a file, or say why not; returns whether it was written."""
    try:
        write_atomic(path, content())
    except OSError as error:
        complain(f"error: {path.name} could not be written to {path.parent} ({error.strerror})")
        return False
    return True


def efficiency_table(path: Path, reports: Sequence[CaseReport]) -> bytes:
    """Return the table, with the rows at `path` of cases that this run did not do: the challenge starts us once a case,
    on one folder.
    """
    rows = read_efficiency(path)
    for report in reports:
        if report.status == "ok" or (report.status == "skipped" and report.seconds and report.case not in rows):
            rows[report.case] = f"{report.seconds:.4f}"
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["case", "time"])
    writer.writerows(sorted(rows.items()))
    try:
        return table.getvalue().encode("utf-8", "surrogateescape")  # names as the file system has them
    except UnicodeEncodeError:
        return table.getvalue().encode("utf-8", "backslashreplace")


def report_json(reports: Sequence[CaseReport], setting: dict[str, Any]) -> bytes:
    counts = {status: sum(report.status == status for report in reports) for status in STATUSES}
    content = {**setting, "counts": counts, "cases": [as_json(report) for report in reports]}
    return json_bytes(content, indent=2) + b"\n"


def known_cases(folder: Path) -> tuple[dict[str, CaseReport], bool]:
    """Return what earlier runs into a folder put down of cases, and whether the last one was stopped or killed."""
    try:
        run = read_run(folder, MOST_BYTES)
    except UsageError as error:
        complain(f"warning: {error}")
        run = Run({}, {})
    of_killed = read_journal(folder)
    return {**run.cases, **(of_killed or {})}, of_killed is not None or "stopped_by" in run.setting


def forget_reports(folder: Path) -> None:
    """Remove the report of an earlier run, before its results are replaced: a run that goes on after a kill would take
    them for its own.
    """
    if is_regular(folder / REPORT):
        with contextlib.suppress(OSError):
            (folder / REPORT).unlink()


def foreign_table(folder: Path) -> Path | None:
    """Return the file that the table of labels would replace, where no run wrote it."""
    path = folder / LABELS
    return path if is_regular(path) and not is_table(path) else None
