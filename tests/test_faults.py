"""Faults of every day, done to a process: signals, kills, streams that nobody reads, full disks, too little memory."""

import contextlib
import csv
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from repmedsam_infer.batch.report import CaseReport, read_run
from repmedsam_infer.batch.warning_list import MOST_WARNINGS
from tests.conftest import good_box, good_image, write_npz

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and special files are those of POSIX")

ROOT = Path(__file__).parent.parent
CASES = 6


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """inputs/ with some cases, and an empty outputs/."""
    (tmp_path / "inputs").mkdir()
    (tmp_path / "outputs").mkdir()
    for i in range(CASES):
        write_npz(tmp_path / "inputs" / f"2D_{i}.npz", imgs=good_image(), boxes=good_box())
    return tmp_path


def after_shell(before: str, *module_and_arguments: object) -> list[str]:
    """The command line of a Python module in the place of a shell that did something `before`."""
    return ["sh", "-c", f'{before}; exec "$@"', "sh", sys.executable, "-m", *map(str, module_and_arguments)]


@contextlib.contextmanager
def started(
    folder: Path, *arguments: object, slow: float = 0, loading: float = 0, before: str = ":"
) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SLOW": str(slow), "LOADING": str(loading)}
    # A shell's background jobs ignore some, and what is ignored stays so in processes that are started here.
    usual = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    }
    process = subprocess.Popen(
        after_shell(before, "tests.fault_process", *(arguments or ("entry",))),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        cwd=folder,
        env=environment,
    )
    for number, handler in usual.items():
        signal.signal(number, handler)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(text: str, stream: IO[str] | None) -> None:
    assert stream is not None
    for line in stream:
        if text in line:
            return
    pytest.fail(f"{text!r} was never printed")


def report_of(folder: Path) -> dict[str, CaseReport]:
    return read_run(folder / "outputs").cases


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "outputs" / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("number", "code", "options"),
    [
        (signal.SIGTERM, 143, ()),
        (signal.SIGHUP, 129, ()),
        (signal.SIGINT, 130, ()),
        (signal.SIGTERM, 143, ("predict", "-i", "inputs", "-o", "outputs", "--jobs", "2")),
    ],
    ids=["SIGTERM", "SIGHUP", "SIGINT", "SIGTERM, two jobs"],
)
def test_a_signal_ends_a_run_with_reports_of_what_was_done(
    number: signal.Signals, code: int, options: tuple[str, ...], run_folder: Path
) -> None:
    with started(run_folder, *options, slow=0.2) as process:
        wait_for("[1/6]", process.stdout)
        process.send_signal(number)
        time.sleep(0.01)
        process.send_signal(number)  # impatience loses nothing
        _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in err
    results = sorted(path.name for path in (run_folder / "outputs").glob("*.npz"))
    assert 1 <= len(results) < CASES
    assert sorted(report_of(run_folder)) == results
    assert [row["case"] for row in rows_of(run_folder, "efficiency.csv")] == results
    assert [row["case"] for row in rows_of(run_folder, "labels.csv")] == results
    assert read_run(run_folder / "outputs").setting["stopped_by"] == number.name
    assert not [path for path in (run_folder / "outputs").iterdir() if path.suffix in (".part", ".jsonl")]


def test_a_signal_while_networks_load_is_an_exit_code_and_no_traceback(run_folder: Path) -> None:
    with started(run_folder, loading=5) as process:
        wait_for("loading", process.stdout)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=4)
    assert process.returncode == 130
    assert err == ""


def test_who_ignores_hangups_is_not_stopped_by_one(run_folder: Path) -> None:
    with started(run_folder, slow=0.05, before="trap '' HUP") as process:
        wait_for("[1/6]", process.stdout)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_killed_run_is_resumed_to_reports_and_overlays_of_all_cases(run_folder: Path) -> None:
    arguments = ("predict", "-i", "inputs", "-o", "outputs", "--overlay", "pictures")
    with started(run_folder, *arguments, slow=0.1) as process:
        wait_for("[3/6]", process.stdout)
        process.kill()
        process.communicate()
    assert not (run_folder / "outputs" / "report.json").exists()
    (run_folder / "pictures" / "2D_1.png").unlink()
    first = (run_folder / "outputs" / "2D_0.npz").stat().st_mtime_ns
    with started(run_folder, *arguments, "--resume") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert (run_folder / "outputs" / "2D_0.npz").stat().st_mtime_ns == first
    names = [f"2D_{i}.npz" for i in range(CASES)]
    assert list(report_of(run_folder)) == names
    assert [report_of(run_folder)[name].status for name in names[:3]] == ["skipped", "ok", "skipped"]
    assert all(case.seconds > 0 and len(case.objects) == 1 for case in report_of(run_folder).values())
    assert [row["case"] for row in rows_of(run_folder, "efficiency.csv")] == names
    assert [row["case"] for row in rows_of(run_folder, "labels.csv")] == names
    assert {path.stem for path in (run_folder / "pictures").iterdir()} == {Path(name).stem for name in names}
    assert not (run_folder / "outputs" / "report.jsonl").exists()


@pytest.mark.parametrize("streams", ["> /dev/full 2> /dev/full", ">&- 2>&- <&-", "| true"])
def test_streams_that_nobody_reads_stop_no_run(streams: str, run_folder: Path) -> None:
    (run_folder / "inputs" / "2D_bad.npz").write_bytes(b"no archive")
    command = f"{{ {sys.executable} -m tests.fault_process entry; echo $? > code; }} {streams}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SLOW": "0.02"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=run_folder, env=environment, capture_output=True, timeout=30, check=False
    )
    assert (run_folder / "code").read_text().strip() == "1"  # the bad case's, nothing else's
    assert b"Exception ignored" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert [case.status for case in report_of(run_folder).values()] == ["ok"] * CASES + ["failed"]
    for path in (run_folder / "outputs").glob("*.npz"):
        with np.load(path) as result:  # nothing that libraries print landed in it
            assert result["segs"].any()


def test_wrong_usage_is_exit_code_2_also_where_no_stream_is_open() -> None:
    command = f"{sys.executable} -m repmedsam_infer predict --levitate >&- 2>&-"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize("command", ["info", "--help"])
def test_an_answer_that_cannot_be_written_is_one_line_and_not_exit_code_0(command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "repmedsam_infer", command],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1


def test_two_runs_at_once_into_one_folder_leave_whole_results_and_reports(run_folder: Path) -> None:
    with started(run_folder, slow=0.03) as first, started(run_folder, slow=0.02) as second:
        for process in (first, second):
            _, err = process.communicate(timeout=20)
            assert process.returncode == 0, err
    assert [case.status for case in report_of(run_folder).values()] == ["ok"] * CASES
    assert {path.name for path in (run_folder / "outputs").iterdir()} == {
        *(f"2D_{i}.npz" for i in range(CASES)),
        *("efficiency.csv", "labels.csv", "report.json"),
    }


def test_on_a_terminal_a_bar_moves_within_a_volume_and_a_terminal_that_is_closed_stops_no_run(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    volume = np.repeat(good_image()[None, ..., 0], 12, 0)
    write_npz(tmp_path / "inputs" / "3D.npz", imgs=volume, boxes=np.array([[18, 8, 1, 42, 32, 10]]))
    terminal, side_of_the_run = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SLOW": "0.06", "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "tests.fault_process", "entry"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=side_of_the_run, stderr=side_of_the_run
    ) as process:
        os.close(side_of_the_run)
        shown = ""
        while not re.search(r"3D\.npz .*[2-9]/10", shown):
            shown += os.read(terminal, 4096).decode()
        os.close(terminal)
        assert process.wait(20) == 0
    assert report_of(tmp_path)["3D.npz"].status == "ok"


def test_a_full_disk_is_one_line_a_case_and_leaves_nothing_half_written(run_folder: Path) -> None:
    with started(run_folder, before="ulimit -f 0") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.count("the segmentation could not be written") == CASES
    assert "Traceback" not in err
    assert list((run_folder / "outputs").iterdir()) == []


def test_names_that_are_no_text_or_steer_a_terminal_are_printed_as_one_line_and_reported(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    names = [b"2D_\xff.npz", b"2D_\x1b[31m\nred.npz"]
    for name in names:
        image, box = io.BytesIO(), good_box()
        np.savez(image, imgs=good_image(), boxes=np.concatenate([box, box * np.nan]))
        (tmp_path / "inputs" / os.fsdecode(name)).write_bytes(image.getvalue())
    with started(tmp_path) as process:
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "\x1b" not in out + err
    assert len(out.splitlines()) == 3  # loading, and a line a case
    assert len(err.splitlines()) == 2
    assert sorted(map(os.fsencode, report_of(tmp_path))) == sorted(names)
    (tmp_path / "outputs" / "report.json").read_bytes().decode()  # UTF-8
    assert len(rows_of(tmp_path, "labels.csv")) == 2


@pytest.mark.parametrize("mebibytes", [300, 1000, 2000])
@pytest.mark.parametrize("module", ["repmedsam_infer.commands.predict", "repmedsam_infer predict -i inputs -o outputs"])
def test_too_little_address_space_is_one_line_and_exit_code_3(mebibytes: int, module: str, run_folder: Path) -> None:
    done = subprocess.run(
        after_shell(f"ulimit -v {mebibytes << 10}", *module.split()),
        cwd=run_folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "ulimit -v" in done.stderr


def test_thousands_of_warnings_of_a_case_become_twenty_lines(run_folder: Path) -> None:
    boxes = np.concatenate([good_box(), np.full((60000, 4), np.nan)])
    write_npz(run_folder / "inputs" / "2D_0.npz", imgs=good_image(), boxes=boxes)
    with started(run_folder) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(err.splitlines()) == MOST_WARNINGS
    assert "59981 more warnings of the kind: box 21 [nan nan nan nan]: is not finite" in err
