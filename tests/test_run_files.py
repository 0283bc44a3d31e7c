"""What a run leaves beside its results: whole, of few and printable lines, and whatever lay in its place."""

import csv
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.batch.label_table import COLUMNS, label_table
from repmedsam_infer.batch.report import CaseReport, ObjectReport
from repmedsam_infer.batch.run_files import RunFiles
from repmedsam_infer.batch.runner import Task, do_run
from repmedsam_infer.batch.summary import summary
from repmedsam_infer.batch.warning_list import MOST_WARNINGS, cut
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.conftest import Repmedsam, good_box, good_image, write_npz


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    folder.mkdir()
    return folder


def quick_run(outputs: Path, names: list[str], resume: bool = False) -> tuple[int, list[CaseReport]]:
    """A run that writes the name of each case as its result."""

    def do(task: Task, watch: Stopwatch) -> CaseReport:
        report = task.report(watch)
        with report.timed():
            if "big" in task.name:
                raise MemoryError
            if "stop" in task.name:
                raise KeyboardInterrupt
            write_atomic(task.target, task.name.encode("utf-8", "backslashreplace"))
            report.objects.append(ObjectReport(1, task.name, [0, 0, 9, 9], 0.5))
        return report

    tasks = [Task(outputs.parent / name, outputs / name) for name in names]
    return do_run(tasks, do, RunFiles(outputs), dict, resume=resume)


@pytest.mark.skipif(os.name == "nt", reason="special files are those of POSIX")
@pytest.mark.parametrize("name", ["efficiency.csv", "report.json", "labels.csv", "report.jsonl", "a.npz"])
@pytest.mark.parametrize("kind", ["fifo", "link", "device"])
def test_what_is_no_file_is_replaced_and_never_waited_for(name: str, kind: str, outputs: Path) -> None:
    odd, elsewhere = outputs / name, outputs.parent / "elsewhere"
    elsewhere.write_text("kept")
    if kind == "fifo":
        os.mkfifo(odd)
    else:
        odd.symlink_to(elsewhere if kind == "link" else "/dev/zero")
    code, _ = quick_run(outputs, ["a.npz", "b.npz"])
    assert code == 0
    assert elsewhere.read_text() == "kept"
    there = list(outputs.iterdir())
    assert {path.name for path in there} == {"a.npz", "b.npz", "efficiency.csv", "labels.csv", "report.json"}
    assert all(path.is_file() and not path.is_symlink() for path in there)


@pytest.mark.parametrize("name", ["efficiency.csv", "report.json", "labels.csv"])
def test_a_folder_in_a_reports_place_is_one_line_and_the_others_are_written(
    name: str, outputs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (outputs / name).mkdir()
    code, reports = quick_run(outputs, ["a.npz"])
    assert code == 1
    assert [report.status for report in reports] == ["ok"]
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {name} could not be written to")
    written = {path.name for path in outputs.iterdir() if path.is_file()}
    assert written - {"report.jsonl"} == {"a.npz", "efficiency.csv", "report.json", "labels.csv"} - {name}


def test_a_case_that_needs_too_much_memory_fails_alone(outputs: Path) -> None:
    code, reports = quick_run(outputs, ["a.npz", "big.npz", "c.npz"])
    assert code == 1
    assert [report.status for report in reports] == ["ok", "failed", "ok"]
    assert "not enough memory" in (reports[1].error or "")


def test_what_was_not_put_down_before_a_kill_is_done_anew(outputs: Path) -> None:
    assert quick_run(outputs, ["a.npz", "b.npz"])[0] == 0
    lines = [json.dumps(case) for case in json.loads((outputs / "report.json").read_text())["cases"]]
    (outputs / "report.json").unlink()
    (outputs / "report.jsonl").write_text(lines[0] + "\n" + lines[1][:40])  # torn
    _, reports = quick_run(outputs, ["a.npz", "b.npz"], resume=True)
    assert [report.status for report in reports] == ["skipped", "ok"]
    assert (outputs / "labels.csv").read_text().count("\n") == 3  # with its header


@pytest.mark.parametrize("is_killed", [False, True])
def test_older_results_are_not_taken_for_those_of_a_run_that_replaced_them_and_was_stopped(
    is_killed: bool, outputs: Path
) -> None:
    names = ["a.npz", "b.npz", "c.npz"]
    quick_run(outputs, names)
    with pytest.raises(KeyboardInterrupt):
        quick_run(outputs, ["a.npz", "stop.npz", "c.npz"])
    left = json.loads((outputs / "report.json").read_text())
    if is_killed:
        (outputs / "report.json").unlink()
        (outputs / "report.jsonl").write_text(json.dumps(left["cases"][0]) + "\n")
    else:
        (outputs / "report.json").write_text(json.dumps({**left, "stopped_by": "SIGTERM"}))
    _, reports = quick_run(outputs, names, resume=True)
    assert [report.status for report in reports] == ["skipped", "ok", "ok"]


def test_a_result_of_a_file_elsewhere_is_done_anew(outputs: Path) -> None:
    quick_run(outputs, ["a.npz"])
    report = (outputs / "report.json").read_text()
    (outputs / "report.json").write_text(report.replace(str(outputs.parent / "a.npz"), "/elsewhere/a.npz"))
    assert [one.status for one in quick_run(outputs, ["a.npz"], resume=True)[1]] == ["ok"]


def test_names_as_long_as_the_file_system_takes_are_written(outputs: Path) -> None:
    names = ["é" * 125 + ".npz", "é" * 120 + ".npz"]
    code, _ = quick_run(outputs, names)
    assert code == 0
    assert {path.name for path in outputs.glob("*.npz")} == set(names)


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
