"""What the benchmark measures on, and what it costs in counts: figures that no machine's mood can change."""

import json
from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.batch.run import do_case
from repmedsam_infer.batch.run_files import REPORT
from repmedsam_infer.case import read_case
from repmedsam_infer.commands.timing.timing_cases import TIMING_CASES, TimingCase, draw, write_timing_cases
from repmedsam_infer.engines.engine import MAX_BATCH, Decoded, in_batches
from tests.conftest import Repmedsam, good_box, good_image, write_npz
from tests.test_segment import F32, BoxEngine

# What each drawn case costs: encodings, decoder batches, bytes of the segmentation at most.
COSTS = {
    "2DBox_US_256": (1, 1, 700),
    "2DBox_Mammography_2604": (1, 1, 45_000),
    "2DBox_Microscopy_2560": (1, 31, 160_000),
    "3DBox_CT_24": (24, 24, 80_000),
    "3DBox_MR_84": (60, 60, 200_000),
}


class CountingEngine(BoxEngine):
    """As the real ones, decodes at most MAX_BATCH boxes at once."""

    def decode(self, embedding: F32, boxes: F32, rois: F32) -> Decoded:
        whole = super().decode
        return in_batches(lambda some: whole(embedding, boxes[some], rois[some]), len(boxes))


@pytest.mark.parametrize("name", COSTS)
def test_what_a_case_costs(name: str, tmp_path: Path) -> None:
    (path,) = write_timing_cases(tmp_path, [name])
    engine = CountingEngine(shrink=2)
    report = do_case(path, tmp_path / "segs.npz", engine)
    assert report.error is None
    encodings, batches, most_bytes = COSTS[name]
    assert report.encodings == len(engine.images) == encodings
    assert len(engine.batches) == batches
    assert max(engine.batches) <= MAX_BATCH
    assert (tmp_path / "segs.npz").stat().st_size <= most_bytes


@pytest.mark.parametrize("name", [name for name in TIMING_CASES if name != "3DBox_CT_287"])
def test_timing_cases_are_what_they_are_called(name: str, tmp_path: Path) -> None:
    case = read_case(write_timing_cases(tmp_path, [name])[0])
    shape, objects, span = TIMING_CASES[name]
    assert case.warnings == ()
    assert case.shape == shape
    assert len(case.boxes.labels) == objects
    if case.is_volume:
        assert (case.boxes.corners[:, 5] - case.boxes.corners[:, 2] + 1 == span).all()


def test_objects_are_drawn_inside_their_boxes() -> None:
    imgs, boxes = draw(TimingCase((9, 64, 80), 2, 7))
    bright = imgs > 120
    for x0, y0, z0, x1, y1, z1 in boxes:
        assert bright[(z0 + z1) // 2, (y0 + y1) // 2, (x0 + x1) // 2]
        bright[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] = False
    assert not bright.any()


@pytest.mark.slow
def test_the_command_compares_precisions_and_keeps_every_time(tmp_path: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "cases").mkdir()
    write_npz(tmp_path / "cases" / "2D_disc.npz", imgs=good_image(), boxes=good_box())
    options = ("--precision", "fp32", "--precision", "int8", "--rounds", 2, "-o", tmp_path / "times.json")
    done = repmedsam("benchmark", tmp_path / "cases", *options)
    assert done.code == 0
    assert "openvino fp32" in done.out
    assert "openvino int8" in done.out
    written = json.loads((tmp_path / "times.json").read_text())
    assert written["machine"]["processor"]
    for times in written["times"]:
        assert times["encodings"] == 1
        assert len(times["cold_seconds"]) == len(times["warm_seconds"]) == 2
        assert min(times["cold_seconds"]) > max(times["warm_seconds"])  # a process does more than the case


@pytest.mark.slow
def test_several_cases_at_once_give_the_same_masks(samples: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    for jobs in (1, 2):
        options = ("--jobs", jobs, "--threads", 2, "--precision", "fp32")
        assert repmedsam("predict", "-i", samples, "-o", tmp_path / str(jobs), *options).code == 0
    for path in samples.glob("*.npz"):
        with np.load(tmp_path / "1" / path.name) as one, np.load(tmp_path / "2" / path.name) as two:
            assert (one["segs"] != two["segs"]).mean() < 1e-4
    written = json.loads((tmp_path / "2" / REPORT).read_text())
    assert written["jobs"] == 2
    assert [case["case"] for case in written["cases"]] == sorted(path.name for path in samples.glob("*.npz"))
