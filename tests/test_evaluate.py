"""Scores: the challenge's numbers where asked for, the true ones by default, nothing counted that should not be."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.boxes import tight_boxes
from repmedsam_infer.evaluation.baselines import fill_boxes
from repmedsam_infer.evaluation.evaluate import evaluate_case, score_labels
from repmedsam_infer.evaluation.measure import measure_labels
from repmedsam_infer.evaluation.metrics import dsc, element_sizes, nsd, nsd_of_flat_volume
from tests.conftest import PARITY, Repmedsam, write_npz


@pytest.mark.parametrize("k", range(6))
def test_metrics_are_the_challenges(k: int) -> None:
    expected = np.load(PARITY / "metrics.npz")
    gt, seg, spacing = (expected[f"{name}{k}"] for name in ("gt", "seg", "spacing"))
    assert dsc(gt, seg) == pytest.approx(float(expected[f"dsc{k}"]), abs=1e-9)
    ours = nsd_of_flat_volume(gt, seg) if gt.ndim == 2 else nsd(gt, seg, tuple(spacing.tolist()))
    assert ours == pytest.approx(float(expected[f"nsd{k}"]), abs=1e-9)


@pytest.mark.parametrize("k", range(3))
def test_surface_elements_are_those_of_the_surface_distance_package(k: int) -> None:
    """The file holds version 0.1's figures: `area` (3, 256) at `spacing` (3, 3), `length` (3, 16) at its first two."""
    expected = np.load(PARITY / "surface_areas.npz")
    spacing = tuple(expected["spacing"][k].tolist())
    np.testing.assert_allclose(element_sizes(spacing), expected["area"][k], rtol=0, atol=1e-9)
    np.testing.assert_allclose(element_sizes(spacing[:2]), expected["length"][k], rtol=0, atol=1e-9)


def square(offset: int, side: int = 20) -> np.ndarray:
    mask = np.zeros((60, 60), bool)
    mask[20 : 20 + side, 10 + offset : 10 + offset + side] = True
    return mask


def test_nsd_of_a_shift_up_to_the_tolerance_is_1() -> None:
    assert nsd(square(0), square(2), (1, 1)) == 1
    assert nsd(square(0), square(6), (1, 1)) < 0.9
    assert nsd(square(0), square(2), (1, 2)) < 0.9  # twice the spacing, twice the distance


def test_empty_masks() -> None:
    nothing = np.zeros((60, 60), bool)
    assert dsc(square(0), nothing) == nsd(square(0), nothing, (1, 1)) == 0
    assert math.isnan(dsc(nothing, nothing))
    assert math.isnan(nsd(nothing, nothing, (1, 1)))


@given(seed=st.integers(0, 200), axes=st.sampled_from([2, 3]))
def test_scoring_within_extents_is_scoring_the_whole(seed: int, axes: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (14, 17, 11)[:axes]
    gt, seg = (rng.integers(0, 4, shape) * (rng.random(shape) < 0.3) for _ in range(2))
    spacing = (2.0, 1.5, 0.8)[:axes]
    labels = [label for label in range(1, gt.max() + 1) if (gt == label).any() or (seg == label).any()]
    score = score_labels(gt, seg, spacing, challenge=False)
    if labels:
        assert score.dsc == pytest.approx(np.mean([dsc(gt == v, seg == v) for v in labels]))
        assert score.nsd == pytest.approx(np.mean([nsd(gt == v, seg == v, spacing) for v in labels]))


def test_baselines_fill_their_boxes() -> None:
    box = np.array([[10, 20, 29, 49]])
    filled, ellipse = (fill_boxes((60, 60), box, kind) for kind in ("box", "ellipse"))
    assert filled.sum() == 20 * 30
    assert ellipse.sum() == pytest.approx(math.pi / 4 * 600, rel=0.02)
    np.testing.assert_array_equal(tight_boxes(ellipse), box)
    ball = fill_boxes((30, 30, 30), np.array([[0, 0, 0, 29, 29, 29]]), "ellipse")
    assert ball.sum() == pytest.approx(math.pi / 6 * 27000, rel=0.02)


def test_tight_boxes_of_missing_labels_are_empty() -> None:
    gts = np.zeros((9, 9), np.uint8)
    gts[2:5, 3:8] = 2
    boxes = tight_boxes(gts)
    assert boxes[1].tolist() == [3, 2, 7, 4]
    assert (boxes[0, :2] > boxes[0, 2:]).all()
    assert not (fill_boxes((9, 9), boxes, "box") == 1).any()


def test_a_case_is_scored_per_label_and_a_missing_one_is_zero(tmp_path: Path) -> None:
    gts = square(0) + 2 * square(25).astype(np.uint8)
    gt_path = write_npz(tmp_path / "2DBox_US_x.npz", gts=gts)
    half = write_npz(tmp_path / "half.npz", segs=np.where(gts == 1, 1, 0).astype(np.uint8))
    score = evaluate_case(gt_path, half, challenge=False, baselines=True)
    assert (score.score.dsc, score.score.nsd) == (0.5, 0.5)
    assert score.baselines["box"].dsc == 1  # squares are their own boxes
    assert score.modality == "US"
    missing = evaluate_case(gt_path, tmp_path / "none.npz", challenge=False, baselines=False)
    assert missing.score.dsc == 0
    assert missing.error


def test_the_challenge_counts_no_nsd_below_a_dsc_of_a_fifth() -> None:
    gt, seg = square(0).astype(int), square(18).astype(int)
    assert score_labels(gt, seg, (1, 1), challenge=False).nsd > 0
    assert score_labels(gt, seg, (1, 1), challenge=True).nsd == 0


def test_evaluate_prints_a_table_and_writes_a_row_a_case(tmp_path: Path, repmedsam: Repmedsam) -> None:
    gts, segs = tmp_path / "gts", tmp_path / "segs"
    gts.mkdir()
    segs.mkdir()
    for name in ("2DBox_US_a", "2DBox_US_b", "2DBox_CT_a"):
        write_npz(gts / f"{name}.npz", gts=square(0).astype(np.uint8))
    for name in ("2DBox_US_a", "2DBox_CT_a"):
        write_npz(segs / f"{name}.npz", segs=square(0).astype(np.uint8))
    result = repmedsam("evaluate", "-s", segs, "-g", gts, "-o", tmp_path / "scores.csv")
    assert result.code == 1  # one segmentation is missing
    assert "2DBox_US_b.npz" in result.err
    assert "| CT | 1 | 1 | 1.0000 | 1.0000 |" in result.out
    assert "| US | 2 | 2 | 0.5000 | 0.5000 |" in result.out
    assert "| mean over modalities | 3 | 3 | 0.7500 | 0.7500 |" in result.out
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 4


def test_an_unreadable_ground_truth_stops_no_other(tmp_path: Path, repmedsam: Repmedsam) -> None:
    for folder, key in (("gts", "gts"), ("segs", "segs")):
        (tmp_path / folder).mkdir()
        write_npz(tmp_path / folder / "2DBox_US_b.npz", **{key: square(0).astype(np.uint8)})
    (tmp_path / "gts" / "2DBox_US_a.npz").write_bytes(b"nothing")
    result = repmedsam("evaluate", "-s", tmp_path / "segs", "-g", tmp_path / "gts", "--baselines")
    assert result.code == 1
    assert "2DBox_US_a.npz" in result.err
    assert "it is not scored" in result.err
    assert "| all cases | 1 | 1 | 1.0000 | 1.0000 |" in result.out


@pytest.mark.parametrize("tables", [(), ("--baselines", "--sizes")])
def test_every_bad_ground_truth_is_listed_and_the_good_ones_are_scored(
    tables: tuple[str, ...], tmp_path: Path, repmedsam: Repmedsam
) -> None:
    good = square(0).astype(np.uint8)
    image = np.zeros((60, 60, 3), np.uint8)
    bad: dict[str, tuple[dict[str, np.ndarray], str]] = {
        "huge": ({"gts": good * np.uint64(2**62)}, "0 to 65535 are possible"),
        "negative": ({"gts": -good.astype(np.int8)}, "labels from -1"),
        "fractions": ({"gts": good * 0.5}, "a label map"),
        "shape": ({"gts": good[:30], "imgs": image}, "the image beside it (60, 60)"),
        "empty": ({"gts": good[:0]}, "is empty"),
        "without": ({"imgs": image}, "'gts' is missing"),
    }
    gts, segs = tmp_path / "gts", tmp_path / "segs"
    gts.mkdir()
    segs.mkdir()
    write_npz(gts / "2DBox_US_good.npz", gts=good)
    for name, (arrays, _) in bad.items():
        write_npz(gts / f"2DBox_CT_{name}.npz", **arrays)
    (gts / "2DBox_CT_damaged.npz").write_bytes(b"PK")
    for name in (*bad, "damaged", "missing"):
        write_npz(segs / f"2DBox_CT_{name}.npz", segs=good)
    write_npz(segs / "2DBox_US_good.npz", segs=good)
    result = repmedsam("evaluate", "-s", segs, "-g", gts, "-o", tmp_path / "scores.csv", *tables)
    assert result.code == 1
    for reason in (*(reason for _, reason in bad.values()), "not an npz file", "no ground truth of this name"):
        assert reason in result.err
    assert "Traceback" not in result.err
    assert "| all cases | 1 | 1 | 1.0000 | 1.0000 |" in result.out
    assert "| CT |" not in result.out
    assert "8 of 9 cases are left out" in result.out
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 10


def test_without_any_good_ground_truth_there_is_a_table_of_nothing(tmp_path: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "2DBox_CT_bad.npz").write_bytes(b"")
    result = repmedsam("evaluate", "-s", tmp_path, "-g", tmp_path, "--baselines", "--sizes")
    assert result.code == 1
    assert "| all cases | 0 | 0 | nan | nan |" in result.out
    assert "1 of 1 cases is left out" in result.out


@pytest.mark.parametrize("segs", [np.full((60, 60), -1), np.full((60, 60), 2**63, np.uint64), np.zeros((0, 0), int)])
def test_segmentations_that_are_none_score_zero_and_say_so(segs: np.ndarray, tmp_path: Path) -> None:
    gt_path = write_npz(tmp_path / "2DBox_US_x.npz", gts=square(0).astype(np.uint8))
    score = evaluate_case(gt_path, write_npz(tmp_path / "s.npz", segs=segs), challenge=False, baselines=False)
    assert score.score.dsc == 0
    assert "s.npz" in (score.error or "")


@given(spacing=st.tuples(*[st.floats(5e-324, 1e308)] * 3))
def test_scores_and_sizes_are_numbers_whatever_spacing_a_file_states(spacing: tuple[float, float, float]) -> None:
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1:3, 1:4, 2:] = 1
    other = np.roll(mask, 1, 1)
    assert 0 <= score_labels(mask, other, spacing, challenge=False).nsd <= 1
    (measure,) = measure_labels(mask, spacing)
    assert measure.diameter >= measure.slice_diameter >= 0
    assert measure.size is not None
    assert measure.size >= 0


def test_objects_are_grouped_by_their_size_in_the_frame(tmp_path: Path, repmedsam: Repmedsam) -> None:
    gts = np.zeros((512, 512), np.uint8)  # twice as large as the frame
    gts[:8, :8], gts[100:140, 100:140], gts[200:500, 200:500] = 1, 2, 3  # 4, 20 and 150 pixels of the frame
    segs = gts.copy()
    segs[100:140, 120:140] = 0
    for folder, key, labels in (("gts", "gts", gts), ("segs", "segs", segs)):
        (tmp_path / folder).mkdir()
        write_npz(tmp_path / folder / "2DBox_US_a.npz", **{key: labels})
    result = repmedsam("evaluate", "-s", tmp_path / "segs", "-g", tmp_path / "gts", "--sizes")
    assert result.code == 0
    table = result.out.split("\n\n")[1].splitlines()
    assert table[0] == "| size | objects | DSC | NSD |"
    assert [row.split("|")[1:4] for row in table[2:]] == [
        [" 0 to 8 pixels ", " 1 ", " 1.0000 "],
        [" 16 to 32 pixels ", " 1 ", " 0.6667 "],
        [" 64 to 256 pixels ", " 1 ", " 1.0000 "],
    ]


def test_a_segmentation_of_another_shape_scores_zero_and_says_so(tmp_path: Path) -> None:
    gt_path = write_npz(tmp_path / "2DBox_US_x.npz", gts=square(0).astype(np.uint8))
    seg_path = write_npz(tmp_path / "seg.npz", segs=np.zeros((3, 3), np.uint8))
    assert "(60, 60)" in (evaluate_case(gt_path, seg_path, challenge=False, baselines=False).error or "")
