"""Progress of a run: bars on a terminal, of the run and of the volumes at hand; plain lines elsewhere."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from repmedsam_infer.batch.report import CaseReport
from repmedsam_infer.errors import printable
from repmedsam_infer.system.stopping import STOPPING
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_infer.system.streams import complain

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MOST_CHARACTERS = 40  # of a name beside a bar


class Watcher:
    """Plain lines, one a case."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.count = 0

    @contextlib.contextmanager
    def case(self, _: str) -> Iterator[Stopwatch]:
        """Give the stopwatch of a case that begins; between its stages a signal ends it."""
        yield Stopwatch(lambda _: STOPPING.check())

    def show(self, report: CaseReport) -> None:
        """Show how a case went. Called in order of the cases."""
        self.count += 1
        self.say(f"[{self.count}/{self.total}] {line(report)}")
        show_problems(report)

    def say(self, text: str) -> None:
        print(text, flush=True)


class Bars(Watcher):
    """On a terminal: a bar of cases, and below it one of slices for each volume at hand."""

    def __init__(self, total: int, bars: "Progress") -> None:
        super().__init__(total)
        self.bars = bars
        self.all = bars.add_task("segmenting", total=total)

    @contextlib.contextmanager
    def case(self, name: str) -> Iterator[Stopwatch]:
        """As above; its bar comes when slices are encoded, and goes with the case."""
        bar: list[TaskID] = []
        watch = Stopwatch()

        def on_stage(stage: str) -> None:
            STOPPING.check()
            if stage == "encode" and watch.expected > 1:
                if not bar:
                    bar.append(self.bars.add_task(printable(name, MOST_CHARACTERS), total=watch.expected))
                else:
                    self.bars.advance(bar[0])

        watch.on_stage = on_stage
        try:
            yield watch
        finally:
            for one in bar:
                self.bars.remove_task(one)

    def show(self, report: CaseReport) -> None:
        """As above."""
        show_problems(report)
        self.bars.update(self.all, advance=1, description=printable(report.case, MOST_CHARACTERS))


@contextlib.contextmanager
def bars_of(total: int) -> Iterator[Watcher]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bars(total, progress)


def watching(total: int) -> AbstractContextManager[Watcher]:
    """Return what shows a run of so many cases, as long as the block lasts."""
    if sys.stderr is not None and sys.stderr.isatty():
        return bars_of(total)
    return contextlib.nullcontext(Watcher(total))


def follow(reports: Iterable[CaseReport], total: int) -> Iterator[CaseReport]:
    """Pass the reports on, and show each."""
    with watching(total) as watcher:
        for report in reports:
            watcher.show(report)
            yield report


def line(report: CaseReport) -> str:
    name = printable(report.case)
    if report.status == "ok":
        return f"{name}: {report.labels} of {report.boxes} boxes in {report.seconds:.2f} s"
    return f"{name}: {report.status}"


def show_problems(report: CaseReport) -> None:
    """Print warnings and errors; not once more those of a case that was done by an earlier run."""
    if report.status == "skipped":
        return
    for warning in report.warnings:
        complain(f"warning: {report.case}: {warning}")
    if report.error:
        complain(f"error: {report.error}")
