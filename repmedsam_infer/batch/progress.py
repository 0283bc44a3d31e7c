"""Progress of a run: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterable, Iterator

from repmedsam_infer.batch.report import CaseReport


def follow(reports: Iterable[CaseReport], total: int) -> Iterator[CaseReport]:
    """Pass the reports on, and print a line for each."""
    if not sys.stderr.isatty():
        for count, report in enumerate(reports, 1):
            print(f"[{count}/{total}] {line(report)}", flush=True)
            show_problems(report)
            yield report
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=None, transient=False) as progress:
        task = progress.add_task("segmenting", total=total)
        for report in reports:
            show_problems(report)
            progress.update(task, advance=1, description=report.case)
            yield report


def complain(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def line(report: CaseReport) -> str:
    if report.status == "ok":
        return f"{report.case}: {report.labels} of {report.boxes} boxes in {report.seconds:.2f} s"
    return f"{report.case}: {report.status}"


def show_problems(report: CaseReport) -> None:
    for warning in report.warnings:
        complain(f"warning: {report.case}: {warning}")
    if report.error:
        complain(f"error: {report.error}")
