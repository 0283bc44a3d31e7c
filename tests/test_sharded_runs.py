"""A run in shards: joined it is the run as a whole, and what is missing, twice there or failed is named."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.batch.run_files import RunFiles
from repmedsam_infer.commands import merged_files
from repmedsam_infer.commands.merge import Merged, read_merged
from repmedsam_infer.shards.shard import Shard
from tests.conftest import Repmedsam, good_box, good_image, write_npz

COUNT = 3
FP32 = ("--precision", "fp32", "--threads", "1")  # bits that no other process can change
BESIDE = {"report.json", "efficiency.csv", "labels.csv"}


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Ten small pictures, each unlike the others, with ground truth."""
    folder = tmp_path / "cases"
    folder.mkdir()
    for i in range(10):
        imgs = np.roll(good_image(48, 64), i, axis=1)
        gts = (imgs[..., 0] > 100).astype(np.uint8)
        write_npz(folder / f"2DBox_US_{i:02}.npz", imgs=imgs, boxes=good_box() + np.array([i, 0, i, 0]), gts=gts)
    return folder


def segs_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.npz"))}


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["case"])


def run_shards(repmedsam: Repmedsam, inputs: Path, outputs: Path, *options: str, without: int = 0) -> None:
    for i in range(1, COUNT + 1):
        if i != without:
            done = repmedsam("predict", "-i", inputs, "-o", outputs, "--shard", f"{i}/{COUNT}", *FP32, *options)
            assert done.code == 0, done.err


def test_shards_joined_are_the_run_as_a_whole(cases: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert repmedsam("predict", "-i", cases, "-o", whole, *FP32).code == 0
    run_shards(repmedsam, cases, parts)
    assert segs_in(parts) == segs_in(whole)
    assert not BESIDE & {path.name for path in parts.iterdir()}

    merged = repmedsam("report", "--merge", "-s", parts, "-i", cases, "-o", tmp_path / "report.html")
    assert (merged.code, merged.err) == (0, "")
    assert "10 cases of 3 shards: 10 ok, 0 failed, 0 skipped" in merged.out
    assert rows_in(parts / "labels.csv") == rows_in(whole / "labels.csv")
    assert [row["case"] for row in rows_in(parts / "efficiency.csv")] == sorted(path.name for path in cases.iterdir())
    of_parts, of_whole = (json.loads((folder / "report.json").read_text()) for folder in (parts, whole))
    assert of_parts["counts"] == of_whole["counts"]
    assert of_parts["engine"] == of_whole["engine"]
    assert of_parts.keys() - of_whole.keys() == {"merged"}
    assert {case["case"] for case in of_parts["cases"]} == {case["case"] for case in of_whole["cases"]}
    assert "2DBox_US_09" in (tmp_path / "report.html").read_text()

    before = {name: (parts / name).read_bytes() for name in BESIDE}
    assert repmedsam("report", "--merge", "-s", parts).code == 0
    assert {name: (parts / name).read_bytes() for name in BESIDE} == before
    again = repmedsam("predict", "-i", cases, "-o", parts, "--resume", *FP32)
    assert again.code == 0
    assert json.loads((parts / "report.json").read_text())["counts"] == {"ok": 0, "failed": 0, "skipped": 10}


def test_a_shard_that_nobody_did_is_named_with_its_cases(cases: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    outputs = tmp_path / "outputs"
    run_shards(repmedsam, cases, outputs, without=2)
    merged = repmedsam("report", "--merge", "-s", outputs, "-i", cases)
    assert merged.code == 1
    left = [path.name for path in sorted(cases.iterdir()) if Shard(2, COUNT).holds(path.name)]
    assert f"error: no report of shard 2/3: run it, and then this again\nerror: missing ({len(left)}): " in (merged.err)
    assert all(name in merged.err for name in left)
    assert json.loads((outputs / "report.json").read_text())["merged"]["missing"] == left
    assert repmedsam("predict", "-i", cases, "-o", outputs, "--shard", "2/3", "--resume", *FP32).code == 0
    assert repmedsam("report", "--merge", "-s", outputs, "-i", cases).code == 0


def test_what_failed_is_named_and_done_when_its_shard_is_run_again(
    cases: Path, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    outputs, bad = tmp_path / "outputs", cases / "2DBox_US_04.npz"
    good = bad.read_bytes()
    bad.write_bytes(b"nothing")
    shard = next(i for i in range(1, COUNT + 1) if Shard(i, COUNT).holds(bad.name))
    run_shards(repmedsam, cases, outputs, without=shard)
    of_bad = ("predict", "-i", cases, "-o", outputs, "--shard", f"{shard}/3", *FP32)
    assert repmedsam(*of_bad).code == 1
    merged = repmedsam("report", "--merge", "-s", outputs, "-i", cases)
    assert (merged.code, merged.err) == (1, f"error: failed (1): {bad.name}\n")
    bad.write_bytes(good)
    assert repmedsam(*of_bad, "--resume").code == 0
    assert repmedsam("report", "--merge", "-s", outputs, "-i", cases).code == 0
    (outputs / bad.name).unlink()
    merged = repmedsam("report", "--merge", "-s", outputs)
    assert (merged.code, merged.err) == (1, f"error: missing (1): {bad.name}\n")


def test_a_case_in_the_reports_of_two_shards_is_named(cases: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    outputs = tmp_path / "outputs"
    run_shards(repmedsam, cases, outputs)
    files, other = RunFiles(outputs, Shard(1, COUNT)), RunFiles(outputs, Shard(1, 2))
    shutil.copy(files.report, other.report)
    merged = repmedsam("report", "--merge", "-s", outputs, "-i", cases)
    assert merged.code == 1
    assert "there is a report of runs in 2 and in 3 shards: remove" in merged.err
    assert "error: in the reports of several shards (" in merged.err
    content = json.loads((outputs / "report.json").read_text())
    assert len(content["cases"]) == len({case["case"] for case in content["cases"]}) == 10


def test_a_shard_that_was_killed_or_stopped_is_named(cases: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    outputs = tmp_path / "outputs"
    run_shards(repmedsam, cases, outputs)
    RunFiles(outputs, Shard(2, COUNT)).journal.write_text("\n")
    report = RunFiles(outputs, Shard(3, COUNT)).report
    report.write_text(json.dumps({**json.loads(report.read_text()), "stopped_by": "SIGTERM"}))
    merged = repmedsam("report", "--merge", "-s", outputs)
    assert merged.code == 1
    assert "shard 2/3 runs still, or was killed: run it again with --resume" in merged.err
    assert "shard 3/3 was stopped by SIGTERM: run it again" in merged.err


def test_shards_done_in_different_ways_are_warned_of(cases: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    outputs = tmp_path / "outputs"
    run_shards(repmedsam, cases, outputs, without=2)
    done = repmedsam("predict", "-i", cases, "-o", outputs, "--shard", "2/3", "--precision", "int8")
    assert done.code == 0
    merged = repmedsam("report", "--merge", "-s", outputs, "-i", cases)
    assert merged.code == 0
    assert "with different engine precision pictures: fp32 in 1/3, 3/3; int8 in 2/3" in merged.err


@pytest.mark.parametrize(
    ("content", "said"), [(b"{", "cannot be read"), (b"[]", "cannot be read"), (b'{"cases": 3}', "cannot be read")]
)
def test_a_report_that_is_damaged_leaves_the_others(
    content: bytes, said: str, cases: Path, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    outputs = tmp_path / "outputs"
    run_shards(repmedsam, cases, outputs)
    RunFiles(outputs, Shard(2, COUNT)).report.write_bytes(content)
    merged = repmedsam("report", "--merge", "-s", outputs, "-i", cases)
    assert merged.code == 1
    assert said in merged.err
    counts = json.loads((outputs / "report.json").read_text())["counts"]
    assert counts["ok"] == sum(not Shard(2, COUNT).holds(path.name) for path in cases.iterdir())


def test_where_no_shard_was_there_is_nothing_to_join(tmp_path: Path, repmedsam: Repmedsam) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        merged = repmedsam("report", "--merge", "-s", folder)
        assert merged.code == 2
        assert len(merged.err.splitlines()) == 1
    assert repmedsam("report", "-s", tmp_path).code == 2


def test_an_empty_shard_is_no_error(cases: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    for path in list(cases.iterdir())[1:]:
        path.unlink()
    (one,) = cases.iterdir()
    empty = next(i for i in range(1, COUNT + 1) if not Shard(i, COUNT).holds(one.name))
    outputs = tmp_path / "outputs"
    assert repmedsam("predict", "-i", cases, "-o", outputs, "--shard", f"{empty}/3", *FP32).code == 0
    assert json.loads(RunFiles(outputs, Shard(empty, COUNT)).report.read_text())["cases"] == []
    run_shards(repmedsam, cases, outputs, "--resume", without=empty)
    assert repmedsam("report", "--merge", "-s", outputs, "-i", cases).code == 0


def test_in_an_array_job_a_task_does_its_shard_and_says_so(
    cases: Path, tmp_path: Path, repmedsam: Repmedsam, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = tmp_path / "outputs"
    for name, value in {"ID": 2, "MIN": 1, "MAX": 3, "COUNT": 3}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    done = repmedsam("predict", "-i", cases, "-o", outputs, *FP32)
    assert done.code == 0
    assert done.err == "note: SLURM_ARRAY_TASK_ID is set: only shard 2/3 is done (--shard all for every case)\n"
    expected = [path.name for path in sorted(cases.iterdir()) if Shard(2, COUNT).holds(path.name)]
    assert sorted(segs_in(outputs)) == expected
    assert repmedsam("predict", "-i", cases, "-o", outputs, "--shard", "all", "--resume", *FP32).err == ""
    assert len(segs_in(outputs)) == 10


def test_the_challenges_entry_does_every_case_also_within_an_array_job(cases: Path, tmp_path: Path) -> None:
    (tmp_path / "inputs").symlink_to(cases, target_is_directory=True)
    of_task = {f"SLURM_ARRAY_TASK_{name}": value for name, value in {"ID": "2", "MIN": "1", "MAX": "3"}.items()}
    entry = [sys.executable, "-m", "repmedsam_infer.commands.predict"]
    found = {**os.environ, **of_task, "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run(entry, cwd=tmp_path, env=found, stdout=subprocess.DEVNULL, check=True)
    assert len(segs_in(tmp_path / "outputs")) == 10
    assert (tmp_path / "outputs" / "report.json").is_file()


def test_two_tasks_on_one_shard_at_once_do_no_harm(cases: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    outputs, whole = tmp_path / "outputs", tmp_path / "whole"
    command = [sys.executable, "-m", "repmedsam_infer", "predict", "-i", str(cases), "-o", str(outputs), "--resume"]
    tasks = [subprocess.Popen([*command, "--shard", "1/1", *FP32], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [task.wait() for task in tasks] == [0, 0]
    assert repmedsam("predict", "-i", cases, "-o", whole, *FP32).code == 0
    assert segs_in(outputs) == segs_in(whole)
    assert repmedsam("report", "--merge", "-s", outputs, "-i", cases).code == 0
    assert not [path for path in outputs.iterdir() if path.name.startswith(".")]


def test_a_manifest_puts_results_where_it_says(
    cases: Path, tmp_path: Path, repmedsam: Repmedsam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of one name in two folders, results in folders, their report, page and scores."""
    names = [path.name for path in sorted(cases.iterdir())]
    for sub in ("a", "b"):
        (cases / sub).mkdir()
    for i, name in enumerate(names):
        (cases / name).rename(cases / "ab"[i % 2] / f"2DBox_US_{i // 2}.npz")
    manifest = tmp_path / "cases.csv"
    lines = [f"cases/{sub}/2DBox_US_{i}.npz,{sub}/2DBox_US_{i}.npz" for sub in "ab" for i in range(5)]
    manifest.write_text("\n".join(["image,output,gts", *(f"{line},{line.split(',')[0]}" for line in lines)]))
    outputs, pictures = tmp_path / "outputs", tmp_path / "pictures"
    run_shards(repmedsam, manifest, outputs, "--overlay", str(pictures))
    assert sorted(segs_in(outputs)) == sorted(line.split(",")[1] for line in lines)
    assert len(list(pictures.glob("[ab]/*.png"))) == 10
    merged = repmedsam("report", "--merge", "-s", outputs, "-i", manifest, "-o", tmp_path / "report.html")
    assert (merged.code, merged.err) == (0, "")
    scored = repmedsam("evaluate", "-s", outputs, "-g", manifest, "-o", tmp_path / "scores.csv")
    assert scored.code == 0, scored.err
    assert [row["case"] for row in rows_in(tmp_path / "scores.csv")] == sorted(segs_in(outputs))
    monkeypatch.chdir(tmp_path)  # paths of a manifest are relative to it, not twice
    for i in range(1, COUNT + 1):
        part = repmedsam("evaluate", "-s", "outputs", "-g", "cases.csv", "-o", "parts.csv", "--shard", f"{i}/{COUNT}")
        assert (part.code, part.err) == (0, "")
    assert repmedsam("evaluate", "--merge", "-o", "parts.csv", "-g", "cases.csv").code == 0
    assert rows_in(tmp_path / "parts.csv") == rows_in(tmp_path / "scores.csv")
    manifest.write_text("\n".join(["image,output", *lines, "cases/none.npz,c.npz"]))
    assert "missing (1): c.npz" in repmedsam("report", "--merge", "-s", outputs, "-i", manifest).err


@pytest.mark.parametrize("name", ["efficiency.csv", "labels.csv", "report.jsonl"])
def test_a_manifest_is_never_replaced_by_a_report(name: str, cases: Path, repmedsam: Repmedsam) -> None:
    manifest = cases / name
    path = next(cases.glob("*.npz"))
    content = f"image\n{path.name}\n" if manifest.suffix == ".csv" else json.dumps({"image": path.name})
    manifest.write_text(content)
    for command in (("predict", "-i", manifest), ("segment", manifest, "--boxes-from", cases)):
        done = repmedsam(*command, "-o", cases, "--overwrite", *FP32)
        assert done.code == 2
        assert "would replace" in done.err
        assert manifest.read_text() == content


def test_what_another_shard_reads_is_not_replaced(cases: Path, repmedsam: Repmedsam) -> None:
    first, second, *_ = sorted(cases.iterdir())
    before = second.read_bytes()
    (cases / "m.csv").write_text(f"image,output\n{first.name},{second.name}\n{second.name},z.npz\n")
    done = repmedsam("predict", "-i", cases / "m.csv", "-o", cases, "--overwrite", "--shard", "1/2", *FP32)
    assert (done.code, second.read_bytes()) == (2, before)


@pytest.mark.parametrize("text", ["a\\u0000.npz", "a\\ud800.npz"])
@pytest.mark.parametrize("key", ["image", "output", "gts"])
def test_a_manifest_of_names_that_no_file_can_have_is_refused(
    text: str, key: str, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    line = f'{{"image": "a.npz", "output": "b.npz", "{key}": "{text}"}}'.replace("\\\\", "\\")
    (tmp_path / "m.jsonl").write_text(line)
    (tmp_path / "segs").mkdir()
    for command in (("predict", "-i", tmp_path / "m.jsonl", "-o", tmp_path / "out"),
                    ("evaluate", "-s", tmp_path / "segs", "-g", tmp_path / "m.jsonl")):  # fmt: skip
        done = repmedsam(*command)
        assert done.code == 2
        assert "no path can have" in done.err


def test_a_report_that_changes_while_it_is_joined_is_said(
    cases: Path, tmp_path: Path, repmedsam: Repmedsam, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = tmp_path / "outputs"
    run_shards(repmedsam, cases, outputs)

    def then_removed(folder: Path, inputs: Path | None) -> Merged:
        merged = read_merged(folder, inputs)
        RunFiles(folder, Shard(2, COUNT)).report.unlink()
        return merged

    monkeypatch.setattr(merged_files, "read_merged", then_removed)
    done = repmedsam("report", "--merge", "-s", outputs)
    assert done.code == 2
    assert "shard 2/3 changed while reports were joined: run this again" in done.err
    assert not (outputs / "report.json").exists()


def test_scores_of_shards_joined_are_the_scores(cases: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    outputs, scores, joined = tmp_path / "outputs", tmp_path / "scores.csv", tmp_path / "joined.csv"
    assert repmedsam("predict", "-i", cases, "-o", outputs, *FP32).code == 0
    (outputs / "2DBox_US_03.npz").unlink()
    whole = repmedsam("evaluate", "-s", outputs, "-g", cases, "--baselines", "-o", scores)
    for i in range(1, COUNT + 1):
        repmedsam("evaluate", "-s", outputs, "-g", cases, "--baselines", "-o", joined, "--shard", f"{i}/{COUNT}")
    merged = repmedsam("evaluate", "--merge", "-o", joined, "-g", cases)
    assert (merged.code, merged.out) == (whole.code, whole.out) == (1, whole.out)
    assert joined.read_text() == scores.read_text()
    assert "scored 0 or left out, joined.csv says why (1): 2DBox_US_03.npz" in merged.err
    (tmp_path / "joined.2-of-3.csv").unlink()
    assert "no scores of shard 2/3" in repmedsam("evaluate", "--merge", "-o", joined).err
    (tmp_path / "joined.1-of-3.csv").write_text("nonsense\n1\n")
    assert "cannot be read as scores" in repmedsam("evaluate", "--merge", "-o", joined).err
    assert repmedsam("evaluate", "--merge", "-o", tmp_path / "none" / "s.csv").code == 2
    assert repmedsam("evaluate", "--merge", "-s", outputs, "-o", joined).code == 2
    assert repmedsam("evaluate", "-s", outputs).code == 2
