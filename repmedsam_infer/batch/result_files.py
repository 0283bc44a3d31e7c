"""What a run leaves beside the segmentations: efficiency.csv for the challenge, report.json for programs, labels.csv
for people.
"""

import contextlib
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from repmedsam_infer.batch.journal import read_journal
from repmedsam_infer.batch.label_table import is_table, label_table
from repmedsam_infer.batch.report import (
    STATUSES,
    CaseReport,
    Run,
    as_json,
    json_bytes,
    read_efficiency,
    read_report,
)
from repmedsam_infer.batch.run_files import RunFiles
from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.system.regular import is_regular
from repmedsam_infer.system.streams import complain

MOST_BYTES = 2 << 30  # of a report.json that a run goes on with


def write_files(files: RunFiles, reports: Sequence[CaseReport], setting: dict[str, Any]) -> bool:
    """Write the three, each on its own: what hinders one leaves the others; returns whether all were written."""
    contents: dict[Path, Callable[[], bytes]] = {
        files.efficiency: lambda: efficiency_table(files.efficiency, reports),
        files.report: lambda: report_json(reports, setting),
        files.labels: lambda: label_table(reports),
    }
    written = [write_one(path, content) for path, content in contents.items()]
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
    return efficiency_bytes(rows)


def efficiency_bytes(rows: Mapping[str, str]) -> bytes:
    """Return the table of cases and their seconds, in order of name."""
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


def known_cases(files: RunFiles) -> tuple[dict[str, CaseReport], bool]:
    """Return what earlier runs put down of cases, and whether the last one was stopped or killed."""
    try:
        run = read_report(files.report, MOST_BYTES)
    except UsageError as error:
        complain(f"warning: {error}")
        run = Run({}, {})
    of_killed = read_journal(files.journal)
    return {**run.cases, **(of_killed or {})}, of_killed is not None or "stopped_by" in run.setting


def forget_report(report: Path) -> None:
    """Remove the report of an earlier run, before its results are replaced: a run that goes on after a kill would take
    them for its own.
    """
    if is_regular(report):
        with contextlib.suppress(OSError):
            report.unlink()


def is_foreign(table: Path) -> bool:
    """Whether the table of labels would replace a file that no run wrote."""
    return is_regular(table) and not is_table(table)
