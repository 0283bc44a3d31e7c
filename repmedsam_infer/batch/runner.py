"""A run over many cases, whatever they are: each apart from the others, several at a time, stopped and resumed without
loss.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from repmedsam_infer.batch.journal import Journal
from repmedsam_infer.batch.progress import Watcher, watching
from repmedsam_infer.batch.report import CaseReport
from repmedsam_infer.batch.result_files import forget_report, is_foreign, known_cases, write_files
from repmedsam_infer.batch.run_files import RunFiles
from repmedsam_infer.batch.summary import summary
from repmedsam_infer.errors import EXIT_CASE_FAILED, EXIT_OK, UsageError
from repmedsam_infer.io.atomic import sweep_all
from repmedsam_infer.system.memory import one_case
from repmedsam_infer.system.regular import is_regular
from repmedsam_infer.system.stopping import STOPPING, Stopped
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_infer.system.streams import complain, tolerant_streams

MOST_AHEAD = 1000  # cases that are handed to threads before they are shown


@dataclass(frozen=True)
class Task:
    """One case: what is read, where its label map goes, and its overlay, if one is drawn.

    output: where in the folder of results a manifest puts the label map; empty where there is none that says so.
    """

    input: Path
    target: Path
    overlay: Path | None = None
    output: str = ""

    @property
    def name(self) -> str:
        """What the case is called in reports."""
        return self.output or self.input.name

    def report(self, watch: Stopwatch) -> CaseReport:
        """Return the report to fill in."""
        overlay = None if self.overlay is None else str(self.overlay.absolute())
        return CaseReport(
            self.name,
            "ok",
            stages=watch.seconds,
            input=str(self.input.absolute()),
            output=self.output or self.target.name,
            overlay=overlay,
        )


OneTask = TypeVar("OneTask", bound=Task)
Do = Callable[[OneTask, Stopwatch], CaseReport]  # raises nothing but Stopped


def do_run(
    tasks: Sequence[OneTask], do: Do[OneTask], files: RunFiles | None, setting: Callable[[], dict[str, Any]], *,
    at_once: int = 1, resume: bool = False,
) -> tuple[int, list[CaseReport]]:  # fmt: skip
    """Do all tasks, show how each went, and put it down.

    Args:
        tasks: whose names differ.
        do: one of them, called by `at_once` threads at a time.
        files: where reports go; None for nowhere.
        setting: what report.json says of the run itself.
        at_once: cases at a time.
        resume: leave those alone whose results are there, as the reports of earlier runs say.

    Returns:
        The exit code, and the reports.

    Raises:
        Stopped: a signal came; all is put down by then.

    """
    paths = [path for task in tasks for path in (task.target, task.overlay) if path is not None]
    sweep_all([*paths, *(() if files is None else files.all)])
    reports: list[CaseReport] = []
    with tolerant_streams(), STOPPING.between_stages():
        done = done_before(tasks, files) if resume and files is not None else {}
        if files is not None and not resume:
            forget_report(files.report)
        journal = Journal(None if files is None else files.journal, keep=resume)
        try:
            with watching(len(tasks)) as watcher:
                for report in run_tasks(tasks, do, at_once, done, watcher, journal.add):
                    watcher.show(report)
                    reports.append(report)
        finally:  # what was done is put down whatever ends the run
            stopped = {"stopped_by": STOPPING.name} if STOPPING.name else {}
            written = files is None or write_files(files, reports, {**setting(), **stopped})
        if written:
            journal.remove()
        for line in summary(reports):
            watcher.say(line)
        STOPPING.check()
    failed = any(report.status == "failed" for report in reports)
    return EXIT_CASE_FAILED if failed or not written else EXIT_OK, reports


def run_tasks(
    tasks: Sequence[OneTask], do: Do[OneTask], at_once: int, done: Mapping[str, CaseReport], watcher: Watcher,
    note: Callable[[CaseReport], None],
) -> Iterator[CaseReport]:  # fmt: skip
    """Report on every task in order; after a signal on those that were finished before it.

    note: takes each report as soon as there is one, from the thread that did it.
    """

    def one(task: OneTask) -> CaseReport | None:
        if task.name in done:
            return done[task.name]
        try:
            STOPPING.check()
            with watcher.case(task.name) as watch, one_case():
                report = do(task, watch)
        except Stopped:
            return None
        note(report)
        return report

    if at_once == 1:
        yield from filter(None, map(one, tasks))
        return
    threads = ThreadPoolExecutor(at_once)
    left = iter(tasks)
    try:
        waiting: deque[Future[CaseReport | None]] = deque(
            threads.submit(one, task) for task in islice(left, MOST_AHEAD)
        )
        while waiting:
            report = waiting.popleft().result()
            waiting.extend(threads.submit(one, task) for task in islice(left, 1))
            if report is not None:
                yield report
    finally:
        threads.shutdown(cancel_futures=True)


def done_before(tasks: Sequence[Task], files: RunFiles) -> dict[str, CaseReport]:
    """Return the reports of the cases that are left alone, "skipped", with what an earlier run put down of each.

    Done anew is what failed, what lacks its overlay, what was made of a file elsewhere, and of a run that was stopped
    or killed what it had not put down yet.
    """
    known, killed = known_cases(files)
    done = {}
    for task in tasks:
        earlier = known.get(task.name)
        if (
            task.target.is_file()
            and (task.overlay is None or is_regular(task.overlay))
            and not (killed and earlier is None)
            and not (earlier is not None and (earlier.status == "failed" or is_of_other_input(earlier, task)))
        ):
            of_now = task.report(Stopwatch())
            done[task.name] = replace(earlier or of_now, status="skipped", input=of_now.input, output=of_now.output)
            if task.overlay is not None:
                done[task.name].overlay = of_now.overlay
    return done


def is_of_other_input(earlier: CaseReport, task: Task) -> bool:
    return earlier.input is not None and earlier.input != str(task.input.absolute())


def check_new(tasks: Sequence[Task], *, overwrite: bool, resume: bool) -> None:
    """Raise UsageError where results are there already, and nothing says what to do with them."""
    there = [task.target for task in tasks if os.path.lexists(task.target)]
    drawn = [task.overlay for task in tasks if task.overlay is not None and os.path.lexists(task.overlay)]
    if drawn and not there and not (overwrite or resume):
        raise UsageError(f"{drawn[0]} is already there: use --overwrite to replace it, or another folder for --overlay")
    if there and not (overwrite or resume):
        which = f"{len(there)} of {len(tasks)} results are" if len(tasks) > 1 else "the result is"
        raise UsageError(
            f"{which} already in {there[0].parent} ({there[0].name}{', ...' if len(there) > 1 else ''}): "
            "use --overwrite to replace them or --resume to keep them"
        )


def check_table(table: Path, *, overwrite: bool) -> None:
    """Raise UsageError where the table of labels would replace a file that no run wrote."""
    if is_foreign(table) and not overwrite:
        raise UsageError(f"{table} is already there, and no table of ours: use --overwrite to replace it")


def show_failed(reports: Sequence[CaseReport]) -> None:
    failed = sum(report.status == "failed" for report in reports)
    if failed:
        complain(f"{failed} of {len(reports)} cases failed")
