"""Faults of every day: signals, kills, streams that nobody reads, full disks, and odd things where files should be."""

import contextlib
import csv
import io
import json
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
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.batch.label_table import COLUMNS, label_table
from repmedsam_infer.batch.report import CaseReport, ObjectReport, read_run
from repmedsam_infer.batch.runner import Task, do_run
from repmedsam_infer.batch.summary import summary
from repmedsam_infer.batch.warning_list import MOST_WARNINGS, cut
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.conftest import Repmedsam, good_box, good_image, write_npz

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


# What follows needs no process of its own.


def quick_run(folder: Path, names: list[str], resume: bool = False) -> tuple[int, list[CaseReport]]:
    """A run that writes the name of each case as its result."""

    def do(task: Task, watch: Stopwatch) -> CaseReport:
        report = task.report(watch)
        with report.timed():
            if "big" in task.name:
                raise MemoryError
            write_atomic(task.target, task.name.encode("utf-8", "backslashreplace"))
            report.objects.append(ObjectReport(1, task.name, [0, 0, 9, 9], 0.5))
        return report

    tasks = [Task(folder / "inputs" / name, folder / "outputs" / name) for name in names]
    return do_run(tasks, do, folder / "outputs", dict, resume=resume)


@pytest.mark.parametrize("name", ["efficiency.csv", "report.json", "labels.csv", "report.jsonl", "a.npz"])
@pytest.mark.parametrize("kind", ["fifo", "link", "device"])
def test_what_is_no_file_is_replaced_and_never_waited_for(name: str, kind: str, run_folder: Path) -> None:
    odd, elsewhere = run_folder / "outputs" / name, run_folder / "elsewhere"
    elsewhere.write_text("kept")
    if kind == "fifo":
        os.mkfifo(odd)
    else:
        odd.symlink_to(elsewhere if kind == "link" else "/dev/zero")
    code, _ = quick_run(run_folder, ["a.npz", "b.npz"])
    assert code == 0
    assert elsewhere.read_text() == "kept"
    there = list((run_folder / "outputs").iterdir())
    assert {path.name for path in there} == {"a.npz", "b.npz", "efficiency.csv", "labels.csv", "report.json"}
    assert all(path.is_file() and not path.is_symlink() for path in there)


@pytest.mark.parametrize("name", ["efficiency.csv", "report.json", "labels.csv"])
def test_a_folder_in_a_reports_place_is_one_line_and_the_others_are_written(
    name: str, run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (run_folder / "outputs" / name).mkdir()
    code, reports = quick_run(run_folder, ["a.npz"])
    assert code == 1
    assert [report.status for report in reports] == ["ok"]
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {name} could not be written to")
    written = {path.name for path in (run_folder / "outputs").iterdir() if path.is_file()}
    assert written - {"report.jsonl"} == {"a.npz", "efficiency.csv", "report.json", "labels.csv"} - {name}


def test_a_case_that_needs_too_much_memory_fails_alone(run_folder: Path) -> None:
    code, reports = quick_run(run_folder, ["a.npz", "big.npz", "c.npz"])
    assert code == 1
    assert [report.status for report in reports] == ["ok", "failed", "ok"]
    assert "not enough memory" in (reports[1].error or "")


def test_what_was_not_put_down_before_a_kill_is_done_anew(run_folder: Path) -> None:
    assert quick_run(run_folder, ["a.npz", "b.npz"])[0] == 0
    outputs = run_folder / "outputs"
    lines = [json.dumps(case) for case in json.loads((outputs / "report.json").read_text())["cases"]]
    (outputs / "report.json").unlink()
    (outputs / "report.jsonl").write_text(lines[0] + "\n" + lines[1][:40])  # torn
    _, reports = quick_run(run_folder, ["a.npz", "b.npz"], resume=True)
    assert [report.status for report in reports] == ["skipped", "ok"]
    assert len(rows_of(run_folder, "labels.csv")) == 2


def test_names_as_long_as_the_file_system_takes_are_written(run_folder: Path) -> None:
    names = ["é" * 125 + ".npz", "é" * 120 + ".npz"]
    code, _ = quick_run(run_folder, names)
    assert code == 0
    assert {path.name for path in (run_folder / "outputs").glob("*.npz")} == set(names)


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path, repmedsam: Repmedsam) -> None:
    for arguments in (("predict", "-i", "x" * 300, "-o", tmp_path), ("predict", "-i", tmp_path, "-o", "x" * 300)):
        write_npz(tmp_path / "2D.npz", imgs=good_image(), boxes=good_box())
        result = repmedsam(*arguments)
        assert result.code in (2, 3)
        assert len(result.err.splitlines()) == 1


WARNINGS = st.lists(st.one_of(st.text(), st.integers(1, 9**9).map("box {} [nan nan 3 4]: is not finite".format)))


@given(warnings=WARNINGS, times=st.integers(1, 100))
def test_warnings_are_few_printable_lines_and_none_is_forgotten(warnings: list[str], times: int) -> None:
    kept = cut(warnings * times)
    assert len(kept) <= MOST_WARNINGS
    assert all(line.isprintable() for line in kept)
    if len(warnings) * times > MOST_WARNINGS:
        more = [int(line.split()[0]) for line in kept if " more warnings of " in line]
        assert sum(more) + len(kept) - len(more) == len(warnings) * times
    else:
        assert len(kept) == len(warnings) * times


def test_thousands_of_warnings_of_a_case_become_twenty_lines(run_folder: Path) -> None:
    boxes = np.concatenate([good_box(), np.full((60000, 4), np.nan)])
    write_npz(run_folder / "inputs" / "2D_0.npz", imgs=good_image(), boxes=boxes)
    with started(run_folder) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(err.splitlines()) == MOST_WARNINGS
    assert "59981 more warnings of the kind: box 21 [nan nan nan nan]: is not finite" in err


@given(name=st.text(), case=st.text(), number=st.integers(1, 65535))
def test_the_table_has_a_row_an_object_and_no_cell_is_a_formula(name: str, case: str, number: int) -> None:
    objects = [
        ObjectReport(number, name, [1, 2.5, 3, 4], 0.25, 12, 3.0, None, ["=1+1"]),
        ObjectReport(2, "b", [0] * 6, None),
    ]
    table = label_table([CaseReport(case, "ok", objects=objects), CaseReport("bad", "failed", objects=objects)])
    first, second = csv.DictReader(io.StringIO(table.decode(), newline=""))
    assert tuple(first) == COLUMNS
    assert not any(str(cell).startswith(("=", "+", "-", "@")) for cell in first.values())
    assert first["name"].isprintable()
    cells = [
        first[column] for column in ("label", "x_min", "y_min", "z_min", "y_max", "voxels", "area_mm2", "confidence")
    ]
    assert cells == [str(number), "1", "2.5", "", "4", "12", "3", "0.25"]
    assert second["z_max"] == "0"
    assert second["confidence"] == second["voxels"] == ""


def test_the_slowest_and_the_least_sure_cases_are_named_where_there_are_many() -> None:
    many = [
        CaseReport(f"{i}.npz", "ok", seconds=i, objects=[ObjectReport(7, "liver", [0, 0, 1, 1], 1 - i / 10)])
        for i in range(8)
    ]
    assert summary(many[:3]) == []
    assert summary(many) == [
        "slowest: 7.npz 7.00 s, 6.npz 6.00 s, 5.npz 5.00 s",
        "least sure: 7.npz label 7 liver (0.30), 6.npz label 7 liver (0.40), 5.npz label 7 liver (0.50)",
    ]
