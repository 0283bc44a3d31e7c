"""A folder of cases from anywhere: every good one is segmented, every bad one reported, nothing is torn or lost."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.batch.run import do_case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.precision import choose_precision
from repmedsam_infer.engines.weights import find_weights
from tests.conftest import Repmedsam, good_box, good_image, npy_header, write_npz, write_raw_npz


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything wrong that we could think of, between two good cases."""
    folder = tmp_path_factory.mktemp("bad")
    image, box = good_image(), good_box()
    volume, box3d = np.repeat(image[None, ..., 0], 3, 0), np.array([[18, 8, 0, 42, 32, 2]])
    write_npz(folder / "2D_a_good.npz", imgs=image, boxes=box)
    write_npz(folder / "3D_z_good.npz", imgs=volume, boxes=box3d)

    (folder / "2D_not_a_zip.npz").write_bytes(b"This is no zip archive at all.")
    whole = write_npz(folder / "2D_truncated.npz", imgs=image, boxes=box)
    whole.write_bytes(whole.read_bytes()[:200])
    write_npz(folder / "2D_pickled.npz", imgs=np.array([{"a": 1}], object), boxes=box)
    write_npz(folder / "2D_no_imgs.npz", boxes=box)
    write_npz(folder / "2D_no_boxes.npz", imgs=image)
    write_npz(folder / "2D_uint16.npz", imgs=image.astype(np.uint16) * 200, boxes=box)
    write_npz(folder / "2D_nan.npz", imgs=np.full(image.shape, np.nan), boxes=box)
    write_npz(folder / "2D_rank.npz", imgs=np.zeros(7, np.uint8), boxes=box)
    write_npz(folder / "2D_zero_side.npz", imgs=np.zeros((0, 60, 3), np.uint8), boxes=box)
    write_npz(folder / "2D_box_of_6.npz", imgs=image, boxes=box3d)
    write_npz(folder / "3D_box_of_4.npz", imgs=volume, boxes=box)
    write_raw_npz(folder / "2D_declares_too_much.npz", imgs=npy_header((10**12,)), boxes=npy_header((0, 4)))
    (folder / "2D_link.npz").symlink_to(folder / "2D_a_good.npz")
    (folder / "2D_folder.npz").mkdir()
    os.mkfifo(folder / "2D_fifo.npz")
    return folder


def test_every_bad_case_fails_alone_with_a_message_that_names_it(
    bad_folder: Path, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    result = repmedsam("predict", "-i", bad_folder, "-o", tmp_path / "out")
    assert result.code == 1
    assert "Traceback" not in result.out + result.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "2D_a_good.npz",
        "3D_z_good.npz",
        "efficiency.csv",
        "labels.csv",
        "report.json",
    ]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["counts"] == {"ok": 2, "failed": 15, "skipped": 0}
    for case in report["cases"]:
        if case["status"] == "failed":
            assert case["error"].startswith(case["case"])
            assert f"error: {case['error']}" in result.err
            assert "internal error" not in case["error"]
    with (tmp_path / "out" / "efficiency.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["2D_a_good.npz", "3D_z_good.npz"]
    assert all(float(row["time"]) > 0 for row in rows)


def test_odd_boxes_are_warned_of_and_the_case_is_done(tmp_path: Path, repmedsam: Repmedsam) -> None:
    boxes = np.array([[18, 8, 42, 32], [np.nan, 0, 9, 9], [42, 32, 18, 8], [18, 8, 60, 40], [900, 0, 950, 9]])
    (tmp_path / "in").mkdir()
    write_npz(tmp_path / "in" / "2D.npz", imgs=good_image(), boxes=boxes)
    write_npz(tmp_path / "in" / "2D_none.npz", imgs=good_image(), boxes=np.zeros((0, 4)))
    result = repmedsam("predict", "-i", tmp_path / "in", "-o", tmp_path / "out")
    assert result.code == 0
    for text in ("box 2", "box 3", "box 5", "no boxes"):
        assert text in result.err
    assert "box 1 " not in result.err
    assert "box 4 " not in result.err
    with np.load(tmp_path / "out" / "2D.npz") as data:
        assert data["segs"].shape == (40, 60)
        assert not np.isin(data["segs"], [2, 5]).any()
    with np.load(tmp_path / "out" / "2D_none.npz") as data:
        assert not data["segs"].any()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5000, 3), (300, 2)])
def test_extreme_shapes_are_segmented(shape: tuple[int, ...], tmp_path: Path, openvino_engine: Engine) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    path = write_npz(tmp_path / "2D.npz", imgs=image, boxes=np.array([[0, 0, shape[1], shape[0]]]))
    report = do_case(path, tmp_path / "out.npz", openvino_engine)
    assert report.status == "ok"
    with np.load(tmp_path / "out.npz") as data:
        assert data["segs"].shape == shape[:2]


def test_a_file_that_vanishes_is_that_cases_failure(tmp_path: Path, openvino_engine: Engine) -> None:
    report = do_case(tmp_path / "gone.npz", tmp_path / "out.npz", openvino_engine)
    assert report.status == "failed"
    assert "gone.npz" in (report.error or "")


def test_a_bug_of_ours_is_one_cases_failure_too(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "2D.npz", imgs=good_image(), boxes=good_box())
    report = do_case(path, tmp_path / "out.npz", None)  # type: ignore[arg-type]
    assert report.status == "failed"
    assert "internal error" in (report.error or "")


def test_the_results_name_is_the_files_whatever_is_inside(tmp_path: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "in").mkdir()
    write_npz(tmp_path / "in" / "2D.npz", imgs=good_image(), boxes=good_box(), **{"../../evil": np.zeros(3)})
    assert repmedsam("predict", "-i", tmp_path / "in", "-o", tmp_path / "out").code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_results_are_kept_resumed_or_replaced_as_asked(tmp_path: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        write_npz(tmp_path / "in" / f"2D_{name}.npz", imgs=good_image(), boxes=good_box())
    arguments = ("predict", "-i", tmp_path / "in", "-o", tmp_path / "out")
    assert repmedsam(*arguments).code == 0

    kept = tmp_path / "out" / "2D_a.npz"
    kept.write_bytes(b"kept")
    (tmp_path / "out" / "2D_b.npz").unlink()
    refused = repmedsam(*arguments)
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert "--resume" in refused.err

    assert repmedsam(*arguments, "--resume").code == 0
    assert kept.read_bytes() == b"kept"
    assert (tmp_path / "out" / "2D_b.npz").exists()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["counts"] == {"ok": 1, "failed": 0, "skipped": 1}
    assert (tmp_path / "out" / "efficiency.csv").read_text().count("2D_") == 2  # the skipped one's time is kept

    assert repmedsam(*arguments, "--overwrite").code == 0
    assert kept.read_bytes() != b"kept"


def test_what_a_killed_run_left_behind_is_swept(tmp_path: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    write_npz(tmp_path / "in" / "2D.npz", imgs=good_image(), boxes=good_box())
    (tmp_path / "out" / ".2D.npz.0123abcd.part").write_bytes(b"half")
    (tmp_path / "out" / ".other.npz.0123abcd.part").write_bytes(b"somebody else's")
    assert repmedsam("predict", "-i", tmp_path / "in", "-o", tmp_path / "out").code == 0
    assert [p.name for p in (tmp_path / "out").glob(".*")] == [".other.npz.0123abcd.part"]


def test_the_report_states_what_ran_where_and_how_long(samples: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "in").mkdir()
    write_npz(tmp_path / "in" / "2D.npz", imgs=good_image(), boxes=good_box())
    repmedsam("predict", "-i", tmp_path / "in", "-o", tmp_path / "out", "--threads", 1)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["threads"] == 1
    assert report["engine"]["name"] == "openvino"
    assert report["engine"]["precision"] == {
        "pictures": choose_precision("auto", find_weights(), volumes=False).precision
    }
    assert len(report["weights"]) == 64
    assert report["processor"]
    case = report["cases"][0]
    assert set(case["stages"]) == {"read", "preprocess", "encode", "decode", "postprocess", "write"}
    assert sum(case["stages"].values()) <= case["seconds"] + 1e-3  # each is rounded


@pytest.mark.slow
def test_overlays_are_drawn(samples: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    cv2 = pytest.importorskip("cv2")
    result = repmedsam("predict", "-i", samples, "-o", tmp_path / "out", "--overlay", tmp_path / "pictures")
    assert result.code == 0
    names = {p.stem for p in samples.glob("*.npz")}
    assert {p.stem for p in (tmp_path / "pictures").glob("*.png")} == names
    with np.load(samples / "2DBox_US_phantom_0000.npz") as data:
        image = data["imgs"]
    drawn = cv2.resize(cv2.imread(str(tmp_path / "pictures" / "2DBox_US_phantom_0000.png")), image.shape[1::-1])
    coloured = np.ptp(drawn.astype(int), -1) > 60  # outlines and boxes on a grey image
    assert 0.005 < coloured.mean() < 0.3
