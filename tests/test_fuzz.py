"""The fuzz suite tries the same for the same seed, sees what is broken, and finds nothing of what it found before."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.found import Found
from tests.fuzz.kinds import KINDS, good_trials
from tests.fuzz.past import PAST
from tests.fuzz.promises import broken, signature, snapshot
from tests.fuzz.runner import Runner
from tests.fuzz.trial import Outcome, Trial, dice

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory and limits are measured as Linux does")
ROOT = Path(__file__).parent.parent
WELL = Outcome(0, b"[1/1] a.nii: 1 of 1 boxes in 0.10 s\n", b"warning: a.nii: odd\n", 0.1)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_seed_makes_the_same_files_and_command_each_time(kind: str, tmp_path: Path) -> None:
    def made() -> tuple[list[str], dict[str, str]]:
        folder = tmp_path / "trial"
        folder.mkdir()
        trial = KINDS[kind](dice(5, kind, 1), folder)
        files = {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file()
        }
        shutil.rmtree(folder)
        return trial.arguments, files

    assert made() == made()


BROKEN = {
    "failure": replace(WELL, code=1, err=b"Traceback (most recent call last):\n  ...\nIndexError: of ours\n"),
    "unprintable": replace(WELL, err=b"warning: \x1b[31mred\n"),
    "long line": replace(WELL, err=b"warning: " + b"x" * 3000 + b"\n"),
    "noise": replace(WELL, err=b"libpng warning: iCCP\n"),
    "output": replace(WELL, err=b"warning: x\n" * 10_000),
    "exit code": replace(WELL, code=5),
    "died": replace(WELL, code=-11),
    "time": replace(WELL, code=None, seconds=200),
    "memory": replace(WELL, memory=5 << 30),
    "touched": replace(WELL, events=("opened for writing: '/etc/passwd'",)),
}


@pytest.mark.parametrize("promise", BROKEN)
def test_a_promise_that_is_broken_is_seen(promise: str, tmp_path: Path) -> None:
    trial = Trial(tmp_path, ["segment"], reported=False)
    assert list(broken(trial, WELL, snapshot(trial), {})) == []
    problems = list(broken(trial, BROKEN[promise], snapshot(trial), {}))
    assert [problem.split(":")[0] for problem in problems] == [promise]


def test_changed_inputs_and_good_cases_that_are_not_done_are_seen(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"as it was")
    trial = Trial(tmp_path, ["predict"], good={"out/a.npz": "a", "out/b.npz": "a"}, reported=False)
    before = snapshot(trial)
    (tmp_path / "in" / "a").write_bytes(b"as it is!")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.npz").write_bytes(b"another result")
    problems = list(broken(trial, WELL, before, {"a": b"the result"}))
    assert [problem.split(":")[0] for problem in problems] == ["changed", "good case", "good case"]


def test_findings_of_one_cause_count_as_one() -> None:
    first, second = (f"report: 0 lines are the error: '2D_{i}.npz: {i} bytes'" for i in (3, 17))
    assert signature("npz", first) == signature("npz", second)
    assert signature("npz", first) != signature("npz", "memory: 5.1 GiB")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    work = tmp_path_factory.mktemp("work")
    made = Runner(work, Found(work / "found"), 0, PAST)
    try:
        made.learn(good_trials(work, {"npz"}))
        yield made
    finally:
        made.worker.stop()


@pytest.mark.parametrize("past", PAST)
def test_what_was_found_before_does_not_come_back(past: str, runner: Runner) -> None:
    assert runner.try_one(past, 0) == []


@pytest.mark.slow
def test_a_little_of_everything_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--rounds", "1", "--seed", "0", "--found", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
