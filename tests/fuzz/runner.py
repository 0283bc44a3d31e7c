"""Trials of each kind in turn until the time is over."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.faults import Fault
from tests.fuzz.found import Finding, Found
from tests.fuzz.promises import broken, snapshot
from tests.fuzz.runs import furnish
from tests.fuzz.trial import Maker, Outcome, Trial, dice

ROOT = Path(__file__).parent.parent.parent
KILLED_AFTER = 120.0  # seconds of a trial: beyond what any may take, on a machine that does other things as well
RUNS = 400  # of one process
FAULTS_SHARE = 3  # each kind of file has so many times the time of each fault


class Worker:
    """A process of worker.py; a new one where it died, hung, or has run often enough."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.runs = 0

    def run(self, trial: Trial) -> Outcome:
        """Run the command line of a trial, whose folder lies in that of the worker."""
        if self.process is None or self.runs >= RUNS:
            self.start()
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        self.runs += 1
        task = {"folder": str(trial.folder), "arguments": trial.arguments, "writable": trial.writable}
        began = time.perf_counter()
        try:
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()
            ready = bool(select.select([self.process.stdout], [], [], KILLED_AFTER)[0])
            line = self.process.stdout.readline() if ready else b""
        except BrokenPipeError:
            ready, line = True, b""
        seconds = time.perf_counter() - began
        if line:
            answer = json.loads(line)
            answer["events"] = tuple(answer["events"])
            return Outcome(out=self.text("stdout"), err=self.text("stderr"), **answer)
        if not ready:
            self.process.send_signal(signal.SIGUSR1)  # it writes where it is
            time.sleep(0.5)
            self.process.kill()
        code = self.process.wait()
        self.stop()
        stack = self.text("stack").decode("utf-8", "replace")
        return Outcome(code if ready else None, self.text("stdout"), self.text("stderr"), seconds, stack=stack)

    def text(self, name: str) -> bytes:
        try:
            with (self.folder / name).open("rb") as file:
                return file.read(4 << 20)
        except FileNotFoundError:
            return b""

    def start(self) -> None:
        self.stop()
        home, temporary = self.folder / "home", self.folder / "tmp"
        for folder in (home, temporary):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REPMEDSAM_")}
        environment |= {
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "tests.fuzz.worker"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT
        )
        self.runs = 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream:
                    with contextlib.suppress(BrokenPipeError):  # of a task that it did not read
                        stream.close()
            self.process = None


@dataclass
class Runner:
    """Runs trials and keeps what they find.

    work: a folder of its own. references: results of good cases by name.
    """

    work: Path
    found: Found
    seed: int
    kinds: Mapping[str, Maker]
    faults: Mapping[str, Fault] = field(default_factory=dict)
    tried: Counter[str] = field(default_factory=Counter)
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    references: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        self.worker = Worker(self.work)

    def learn(self, trials: Sequence[Trial]) -> None:
        """Take the results of trials of good inputs alone as what they have to be."""
        for trial in trials:
            outcome = self.worker.run(trial)
            for result, reference in trial.good.items():
                path = trial.folder / result
                assert path.is_file(), f"{reference}: {outcome.err!r}"
                self.references[reference] = path.read_bytes()

    def run_for(self, seconds: float) -> None:
        """Try kinds in turn, so that each has as much time."""
        end = time.monotonic() + seconds
        numbers: Counter[str] = Counter()
        while time.monotonic() < end:
            kind = min([*self.kinds, *self.faults], key=self.turn)
            self.run_number(kind, numbers[kind])
            numbers[kind] += 1

    def turn(self, kind: str) -> float:
        """Return what the next kind has least of."""
        return self.spent[kind] * (FAULTS_SHARE if kind in self.faults else 1)

    def run_rounds(self, rounds: int) -> None:
        """Run so many trials of each kind."""
        for number in range(rounds):
            for kind in [*self.kinds, *self.faults]:
                self.run_number(kind, number)

    def run_number(self, kind: str, number: int) -> None:
        if kind in self.kinds:
            self.try_one(kind, number)
        else:
            self.try_fault(kind, number)

    def try_one(self, kind: str, number: int, only: str | None = None) -> list[str]:
        """Run one trial; where it finds something new, its inputs one by one as well. Return the problems."""
        began = time.monotonic()
        trial, outcome, problems = self.run(kind, number, only)
        self.tried[kind] += max(1, len(trial.hostile))
        new = [problem for problem in problems if not self.found.is_known(kind, problem)]
        for problem in problems:
            if problem not in new:
                self.found.add(kind, f"{kind}:{number}", problem)
        if new and only is None and len(trial.hostile) > 1:
            for path in list(trial.hostile):
                self.record(kind, number, *self.run(kind, number, path))
            if any(not self.found.is_known(kind, problem) for problem in new):
                self.record(kind, number, *self.run(kind, number, only))
        elif new:
            self.record(kind, number, trial, outcome, problems)
        self.spent[kind] += time.monotonic() - began
        return problems

    def try_fault(self, kind: str, number: int) -> list[str]:
        """Run one trial of a fault. Return the problems."""
        began = time.monotonic()
        folder = self.work / "trial"
        shutil.rmtree(folder, ignore_errors=True)
        furnish(folder)
        problems = list(self.faults[kind](dice(self.seed, kind, number), folder, self.references))
        self.tried[kind] += 1
        for problem in problems:
            if self.found.add(kind, f"{kind}:{number}", problem):
                tell(f"{kind}:{number}", problem)
        self.spent[kind] += time.monotonic() - began
        return problems

    def record(self, kind: str, number: int, trial: Trial, outcome: Outcome, problems: list[str]) -> None:
        first: list[Finding] = []
        for problem in problems:
            finding = self.found.add(kind, f"{kind}:{number}", problem)
            if finding:
                first.append(finding)
                tell(f"{kind}:{number}", problem)
        if first:
            self.found.keep(first, trial, outcome)

    def run(self, kind: str, number: int, only: str | None) -> tuple[Trial, Outcome, list[str]]:
        folder = self.work / "trial"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        trial = self.kinds[kind](dice(self.seed, kind, number), folder)
        if only is not None:
            trial.keep_only(only)
        before = snapshot(trial)
        outcome = self.worker.run(trial)
        return trial, outcome, list(broken(trial, outcome, before, self.references))


def tell(name: str, problem: str) -> None:
    sys.stdout.write(f"found {name} {problem[:300]!a}\n")
    sys.stdout.flush()
