"""Cases as they are finished, a line of JSON each: what `--resume` goes by where a run was killed.

The file is there while a run is, and goes when its reports are written.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from repmedsam_infer.batch.report import CaseReport, as_json, json_bytes, read_case_report
from repmedsam_infer.system.regular import is_regular, read_regular
from repmedsam_infer.system.streams import complain

MOST_BYTES = 1 << 30  # that are read back
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class Journal:
    """Takes reports from any thread. Where the file cannot be written the run goes on without it, and says so once."""

    def __init__(self, path: Path | None, *, keep: bool) -> None:
        """Begin at `path`, after what a killed run left there if `keep`; nowhere without a path."""
        self.path = path
        self.lock = Lock()
        self.descriptor: int | None = None
        if self.path is None:
            return
        try:
            if not (keep and is_regular(self.path)):
                self.path.unlink(missing_ok=True)
            self.descriptor = os.open(self.path, FLAGS, 0o666)
            os.write(self.descriptor, b"\n")  # the last line may be torn
        except OSError as error:
            self.give_up(error)
            if is_regular(self.path):
                with contextlib.suppress(OSError):
                    self.path.unlink()

    def add(self, report: CaseReport) -> None:
        """Append a case: one write, so that lines of two runs at once stay whole."""
        line = json_bytes(as_json(report)) + b"\n"
        with self.lock:
            if self.descriptor is None:
                return
            try:
                if os.write(self.descriptor, line) < len(line):
                    os.write(self.descriptor, b"\n")
            except OSError as error:
                self.give_up(error)

    def give_up(self, error: OSError) -> None:
        complain(
            f"warning: {self.path} cannot be written ({error.strerror}): a killed run could not be resumed in full"
        )
        self.close()

    def close(self) -> None:
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self.descriptor)
        self.descriptor = None

    def remove(self) -> None:
        """End it: all that it holds is in the reports."""
        self.close()
        if self.path is not None and is_regular(self.path):
            with contextlib.suppress(OSError):
                self.path.unlink()


def read_journal(path: Path) -> dict[str, CaseReport] | None:
    """Return the cases of a run that was killed, the last report of each; None where none was."""
    try:
        content = read_regular(path, MOST_BYTES) if is_regular(path) else None
    except OSError:
        content = None
    return None if content is None else {report.case: report for report in parse(content)}


def parse(content: bytes) -> Iterator[CaseReport]:
    """Lines that are torn, or not ours, are left out."""
    for line in content.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            yield read_case_report(json.loads(line))
