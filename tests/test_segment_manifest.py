"""`repmedsam segment` on a manifest: each image with its own boxes, window and place, as the command would do it."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from repmedsam_infer.shards.shard import Shard
from tests.conftest import Repmedsam, good_image

FP32 = ("--precision", "fp32", "--threads", "1")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two folders of pictures of the same names, boxes of one as JSON, and label maps of another."""
    for i, sub in enumerate(("a", "b")):
        (tmp_path / sub).mkdir()
        for k in range(3):
            picture = np.roll(good_image(48, 64), 4 * i + 2 * k, axis=1)
            cv2.imwrite(str(tmp_path / sub / f"{k}.png"), picture)
            cv2.imwrite(str(tmp_path / sub / f"{k}_labels.png"), (picture[..., 0] > 100).astype(np.uint8))
    (tmp_path / "boxes.json").write_text(json.dumps({"cases": {f"{k}.png": [[18, 8, 46, 40]] for k in range(3)}}))
    return tmp_path


def labels_in(path: Path) -> np.ndarray:
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert labels is not None
    return labels


def test_every_line_is_what_the_command_would_do(images: Path, repmedsam: Repmedsam) -> None:
    rows: list[dict[str, Any]] = [
        {"image": "a/0.png", "output": "a/0.png", "boxes": "boxes.json"},
        {"image": "a/1.png", "output": "a/1.png", "boxes_from": "a/1_labels.png"},
        {"image": "b/0.png", "output": "b/0.png", "box": ["20,10,44,34", "22,12,40,30"]},
        {"image": "b/1.png", "output": "b/1.nii.gz", "box": "20,10,44,34"},
    ]
    (images / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = repmedsam("segment", images / "m.jsonl", "-o", images / "out", *FP32)
    assert done.code == 0, done.err
    alone = {
        "a/0.png": ("a/0.png", "--boxes", images / "boxes.json"),
        "a/1.png": ("a/1.png", "--boxes-from", images / "a" / "1_labels.png"),
        "b/0.png": ("b/0.png", "--box", "20,10,44,34", "--box", "22,12,40,30"),
    }
    for output, (image, *boxes) in alone.items():
        single = images / "single" / output
        assert repmedsam("segment", images / image, "-o", single, *boxes, *FP32).code == 0
        assert labels_in(single).any()
        np.testing.assert_array_equal(labels_in(images / "out" / output), labels_in(single))
    assert (images / "out" / "b" / "1.nii.gz").is_file()
    report = json.loads((images / "out" / "report.json").read_text())
    assert [(case["case"], case["output"]) for case in report["cases"]] == [(row["output"],) * 2 for row in rows]


def test_shards_of_a_manifest_joined_are_all_of_it(images: Path, repmedsam: Repmedsam) -> None:
    lines = [f"{sub}/{k}.png,{sub}/{k}.png" for sub in "ab" for k in range(3)]
    (images / "m.csv").write_text("\n".join(["image,output", *lines]))
    for i in (1, 2, 3):
        of_shard = ("--shard", f"{i}/3", "--overlay", images / "pictures", "--boxes", images / "boxes.json")
        done = repmedsam("segment", images / "m.csv", "-o", images / "out", *of_shard, *FP32)
        assert done.code == 0, done.err
    assert len(list((images / "out").glob("[ab]/?.png"))) == len(list((images / "pictures").glob("[ab]/?.png"))) == 6
    page = images / "report.html"
    merged = repmedsam("report", "--merge", "-s", images / "out", "-i", images / "m.csv", "-o", page)
    assert (merged.code, merged.err) == (0, "")
    assert "6 cases of 3 shards" in merged.out


def test_files_on_the_command_line_are_shared_out_by_name(images: Path, repmedsam: Repmedsam) -> None:
    files = [images / "a" / f"{k}.png" for k in range(3)]
    for i in (1, 2):
        done = repmedsam(
            "segment", *files, "-o", images / "out", "--boxes", images / "boxes.json", "--shard", f"{i}/2", *FP32
        )
        assert done.code == 0, done.err
        expected = [path.name for path in files if Shard(i, 2).holds(path.name)]
        report = json.loads((images / "out" / f"report.{i}-of-2.json").read_text())
        assert [case["case"] for case in report["cases"]] == expected
    assert len(list((images / "out").glob("?.png"))) == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"image": "a/0.png"}, "line 1: boxes, boxes_from, box, box_mm: all are empty"),
        ({"image": "a/0.png", "box": "1,2,3,4", "boxes": "boxes.json"}, "line 1: boxes and box are given"),
        ({"image": "a/0.png", "box": "1,2,3"}, "line 1: --box"),
        ({"image": "a/0.png", "box": ";"}, "line 1: box"),
        ({"image": "a/0.png", "box": "1,2,3,4", "window": "no"}, "line 1: --window"),
        ({"image": "a/0.png", "box": "1,2,3,4", "volume": "-1"}, "line 1: volume"),
        ({"image": "a/0.png", "box": "1,2,3,4", "output": "a.xyz"}, "line 1: output is a.xyz"),
        ({"image": "a/0.png", "box": "1,2,3,4", "output": "report.json"}, "line 1: output is report.json"),
    ],
)
def test_a_line_that_makes_no_sense_stops_before_anything_is_done(
    line: dict[str, str], said: str, images: Path, repmedsam: Repmedsam
) -> None:
    (images / "m.jsonl").write_text(json.dumps(line))
    done = repmedsam("segment", images / "m.jsonl", "-o", images / "out", *FP32)
    assert done.code == 2
    assert said in done.err
    assert not (images / "out").exists()


def test_an_image_or_boxes_that_are_missing_fail_alone(images: Path, repmedsam: Repmedsam) -> None:
    rows = [
        {"image": "none.png", "box": "18,8,46,40"},
        {"image": "a/0.png", "boxes": "none.json"},
        {"image": "a/1.png", "boxes_from": "none.nii.gz"},
        {"image": "a/2.png", "box": "18,8,46,40"},
    ]
    (images / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = repmedsam("segment", images / "m.jsonl", "-o", images / "out", *FP32)
    assert done.code == 1
    assert [line.split(":")[0] for line in done.err.splitlines() if "warning" not in line] == [
        "error",
        "error",
        "error",
    ]
    report = json.loads((images / "out" / "report.json").read_text())
    assert [case["status"] for case in report["cases"]] == ["failed", "failed", "failed", "ok"]


def test_a_manifest_is_given_alone_and_into_a_folder(images: Path, repmedsam: Repmedsam) -> None:
    (images / "m.csv").write_text('image,box\na/0.png,"18,8,46,40"\n')
    two = repmedsam("segment", images / "m.csv", images / "a" / "1.png", "-o", images / "out", "--box", "1,2,3,4")
    assert two.code == 2
    assert "is given alone" in two.err
    named = repmedsam("segment", images / "m.csv", "-o", images / "labels.nii.gz")
    assert named.code == 2
    assert "a manifest go into a folder" in named.err
    alone = ("segment", images / "a" / "0.png", "--box", "18,8,46,40", "-o", images / "one.png", "--shard", "1/1")
    assert "go into a folder" in repmedsam(*alone).err


def test_two_images_of_one_result_are_refused_whatever_the_shard(images: Path, repmedsam: Repmedsam) -> None:
    cv2.imwrite(str(images / "a" / "0.jpg"), good_image(48, 64))
    files = (images / "a" / "0.png", images / "a" / "0.jpg")
    (images / "m.csv").write_text("image\na/0.png\na/0.jpg\n")
    for inputs in (files, (images / "m.csv",)):
        for i in (1, 2):
            done = repmedsam(
                "segment", *inputs, "-o", images / "out", "--boxes", images / "boxes.json", "--shard", f"{i}/2"
            )
            assert done.code == 2
            assert "result" in done.err


def test_a_single_image_is_done_whatever_array_job_its_task_is_in(
    images: Path, repmedsam: Repmedsam, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ID": 2, "MIN": 1, "MAX": 16, "COUNT": 16}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    for output in ("one.png", "folder"):
        done = repmedsam("segment", images / "a" / "0.png", "--box", "18,8,46,40", "-o", images / output, *FP32)
        assert done.code == 0
        assert "note" not in done.err
    assert (images / "folder" / "0.png").is_file()
