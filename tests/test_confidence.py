"""Confidence: features of masks, what estimates their DSC, and boxes that are replaced by better ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.boxes import Boxes
from repmedsam_infer.case import read_case
from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines.confidence import ConfidenceModel, Perceptron
from repmedsam_infer.engines.engine import Decoded, Engine
from repmedsam_infer.engines.openvino import OpenVINOEngine
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.evaluation.object_scores import score_objects
from repmedsam_infer.evaluation.reliability import Estimate, auroc, bins_table, calibration_error, reliability_table
from repmedsam_infer.preprocess import View
from repmedsam_infer.segmentation.box_fit import BETTER, INWARDS, WORTH_TRYING, candidates, fit_boxes
from repmedsam_infer.segmentation.features import AT_ONCE, FEATURES, mask_features, volume_features
from repmedsam_infer.segmentation.open_ended import WAY_FEATURES
from repmedsam_infer.segmentation.segment import doubts, segment
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.conftest import Repmedsam
from tests.test_segment import F32, BoxEngine, make_case

BOX = np.array([[60, 80, 139, 119]], np.float32)
CANDIDATES = len(INWARDS)


def constant(inputs: int, outputs: list[float]) -> Perceptron:
    """Estimates the same, whatever the inputs."""
    biases = np.array(outputs, np.float32)
    return Perceptron(
        np.zeros(inputs, np.float32),
        np.ones(inputs, np.float32),
        ((np.zeros((inputs, len(biases)), np.float32), biases),),
    )


def preferring(candidate: int, *, gain: float = 0.2) -> ConfidenceModel:
    """Takes one of the candidates for better than the others by `gain`."""
    estimates = [0.5 + gain * (i == candidate) for i in range(CANDIDATES)]
    count = len(FEATURES)
    return ConfidenceModel(
        constant(count, estimates),
        constant(count * CANDIDATES, estimates),
        constant(count + 3, [0.6]),
        constant(len(WAY_FEATURES), [0.9]),
    )


def features_of(engine: BoxEngine, boxes: F32) -> dict[str, float]:
    rois = rois_around(boxes)
    engine.images.append(np.zeros(0, np.float32))
    decoded = engine.decode(np.full((1, 1, 1), len(engine.images) - 1, np.float32), boxes, rois)
    return dict(zip(FEATURES, mask_features(decoded, boxes, rois)[0].tolist(), strict=True))


def test_a_mask_that_fills_its_box_leaves_no_gap_and_a_smaller_one_does() -> None:
    full, small = features_of(BoxEngine(focus=True), BOX), features_of(BoxEngine(shrink=10, focus=True), BOX)
    assert full["fill"] > 0.95
    assert full["gap_3"] < 0.05 < small["gap_0"]
    assert small["gap_0"] == pytest.approx(10 / 80, abs=0.03)  # of the longer side
    assert small["gap_3"] == pytest.approx(10 / 40, abs=0.03)  # of the shorter one
    assert small["inside_most_3"] < 0.5 < full["inside_most_0"]
    assert full["longer_side"] == pytest.approx(np.log(80))
    large = features_of(BoxEngine(shrink=-10, focus=True), BOX)
    assert large["outside_most_0"] > 0.5 > full["outside_most_3"]


@given(st.integers(1, 2 * AT_ONCE + 1), st.floats(0.01, 300), st.integers(0, 2**32 - 1))
def test_features_are_finite_and_do_not_depend_on_other_objects(count: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 200, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 55, (count, 2))], 1).astype(np.float32)
    logits = (rng.standard_normal((count, 16, 16)) * scale).astype(np.float32)
    decoded, rois = Decoded(logits, np.ones(count, np.float32)), rois_around(boxes)
    found = mask_features(decoded, boxes, rois)
    assert found.shape == (count, len(FEATURES))
    assert np.isfinite(found).all()
    last = Decoded(logits[-1:], decoded.iou[-1:])
    np.testing.assert_allclose(found[-1:], mask_features(last, boxes[-1:], rois[-1:]), rtol=1e-4, atol=1e-5)
    assert np.isfinite(volume_features(found)).all()


@given(st.integers(0, 199), st.integers(0, 99), st.integers(0, 100), st.integers(0, 100))
def test_candidates_begin_with_the_given_box_and_stay_in_the_view(x: int, y: int, width: int, height: int) -> None:
    view = View(100, 200)
    given_box = np.array([[x, y, min(x + width, 199), min(y + height, 99)]], np.float32)
    others = candidates(given_box, view)
    np.testing.assert_array_equal(others[0], given_box)
    assert (others >= 0).all()
    assert (others[..., 2:] <= [199, 99]).all()
    assert (others[..., :2] < others[..., 2:] + 1).all()  # a box of one pixel becomes less than one


@pytest.mark.parametrize("candidate", range(CANDIDATES))
def test_the_box_whose_mask_seems_best_is_taken(candidate: int) -> None:
    engine = BoxEngine(focus=True)
    engine.confidence = preferring(candidate)
    view = View(256, 256)
    fitted = fit_boxes(BOX, view, engine.encode(np.zeros(0, np.float32)), engine)
    np.testing.assert_allclose(fitted.corners, candidates(BOX, view)[candidate])
    assert fitted.confidence == pytest.approx(0.7)
    done = segment(make_case(np.zeros((256, 256), np.uint8), BOX.tolist(), False), engine, Stopwatch())
    rows, columns = np.nonzero(done.labels)
    extent = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
    np.testing.assert_allclose(extent, fitted.corners[0], atol=1)  # the mask fills it, and does not leave it


def test_a_box_that_is_hardly_better_is_not_taken_and_without_doubt_none_is_tried() -> None:
    engine = BoxEngine(focus=True)
    engine.confidence = preferring(3, gain=(WORTH_TRYING + BETTER) / 2)
    fitted = fit_boxes(BOX, View(256, 256), engine.encode(np.zeros(0, np.float32)), engine)
    np.testing.assert_array_equal(fitted.corners, BOX)
    assert len(engine.batches) == 2
    for doubtless in (preferring(0), preferring(3, gain=WORTH_TRYING / 2)):
        engine.batches.clear()
        engine.confidence = doubtless
        fit_boxes(BOX, View(256, 256), engine.encode(np.zeros(0, np.float32)), engine)
        assert engine.batches == [1]


def test_without_a_model_boxes_are_as_given_and_confidence_is_unknown() -> None:
    engine = BoxEngine(focus=True)
    done = segment(make_case(np.zeros((256, 256), np.uint8), BOX.tolist(), False), engine, Stopwatch())
    assert np.isnan(done.confidence).all()
    assert engine.batches == [1]
    assert doubts(np.array([1]), done.confidence) == []


def test_volumes_have_confidence_too() -> None:
    engine = BoxEngine(focus=True)
    engine.confidence = preferring(0)
    case = make_case(np.zeros((5, 64, 64), np.uint8), [[5, 5, 0, 30, 30, 3], [40, 40, 1, 50, 50, 4]], True)
    np.testing.assert_allclose(segment(case, engine, Stopwatch()).confidence, [0.6, 0.6])


def test_low_confidence_is_a_warning_that_names_the_worst() -> None:
    (warning,) = doubts(np.array([1, 2, 4]), np.array([0.9, 0.55, 0.2], np.float32))
    assert warning == "low confidence in 2 of 3 masks, check them: label 4 (0.20), 2 (0.55)"
    assert not doubts(np.array([1]), np.array([0.7], np.float32))


def test_a_model_survives_its_arrays_and_damaged_ones_are_refused() -> None:
    model = preferring(2)
    arrays = model.arrays()
    again = ConfidenceModel.from_arrays(arrays)
    inputs = np.ones((2, len(FEATURES)), np.float32)
    np.testing.assert_array_equal(again.first(inputs), model.first(inputs))
    for name, wrong, message in (
        ("first.mean", None, "first.mean is missing"),
        ("all.0.biases", np.zeros(3, np.float32), "do not go together"),
        ("volume.0.biases", np.full(1, np.nan, np.float32), "not finite"),
        ("volume.deviation", np.zeros(len(FEATURES) + 3, np.float32), "not positive"),
    ):
        damaged = {key: value for key, value in arrays.items() if key != name}
        if wrong is not None:
            damaged[name] = wrong
        with pytest.raises(ValueError, match=message):
            ConfidenceModel.from_arrays(damaged)


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    import hashlib

    from repmedsam_infer.engines.weights import CONFIDENCE, SUMS, find_weights

    (tmp_path / CONFIDENCE).write_bytes(b"no such thing")
    digest = hashlib.sha256(b"no such thing").hexdigest()
    (tmp_path / SUMS).write_text(f"{digest}  {CONFIDENCE}\n")
    with pytest.raises(SetupError, match="no header of a safetensors file"):
        find_weights(tmp_path).confidence()
    (tmp_path / SUMS).write_text("")
    assert find_weights(tmp_path).confidence() is None


def test_both_engines_have_the_same_model(openvino_engine: Engine, torch_engine: Engine) -> None:
    assert openvino_engine.confidence is not None
    assert torch_engine.confidence is not None
    ours, theirs = openvino_engine.confidence.arrays(), torch_engine.confidence.arrays()
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


@pytest.mark.slow
def test_loose_boxes_give_better_masks_than_without_it(
    openvino_engine: OpenVINOEngine, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from repmedsam_train.comparison.loose_boxes import loosened

    scores: dict[bool, list[float]] = {True: [], False: []}
    for path in sorted(samples.glob("2D*.npz")):
        case = read_case(path)
        with np.load(path) as npz:
            gts = npz["gts"]
        corners = loosened(case.boxes.corners.astype(np.int64), case.shape, 0.15, 0).astype(np.float64)
        loose = replace(case, boxes=Boxes(corners, case.boxes.labels, case.boxes.count))
        for fitted in (True, False):
            with monkeypatch.context() as patch:
                if not fitted:
                    patch.setattr(openvino_engine, "confidence", None)
                done = segment(loose, openvino_engine, Stopwatch(), "off").labels
            scores[fitted] += [one.dsc for one in score_objects(gts, done, (1.0, 1.0)).values()]
    assert np.mean(scores[True]) > np.mean(scores[False]) + 0.01


@pytest.mark.slow
def test_reports_have_every_object_and_evaluate_says_how_true_confidence_is(
    samples: Path, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    import json

    assert repmedsam("predict", "-i", samples, "-o", tmp_path).code == 0
    for case in json.loads((tmp_path / "report.json").read_text())["cases"]:
        with np.load(samples / case["case"]) as npz:
            assert [one["box"] for one in case["objects"]] == npz["boxes"].tolist()
        assert [one["label"] for one in case["objects"]] == list(range(1, case["labels"] + 1))
        assert all(0 <= one["confidence"] <= 1 for one in case["objects"])
        low = [one for one in case["objects"] if one["confidence"] < 0.7]
        assert any("low confidence" in warning for warning in case["warnings"]) == bool(low)
    done = repmedsam("evaluate", "-s", tmp_path, "-g", samples, "--confidence")
    assert done.code == 0
    assert "| all objects |" in done.out
    assert "AUROC" in done.out
    (tmp_path / "report.json").unlink()
    assert "no confidence" in repmedsam("evaluate", "-s", tmp_path, "-g", samples, "--confidence").err


def test_the_calibration_error_and_the_area_are_those_of_their_definitions() -> None:
    right = np.array([0.15, 0.95, 0.95])
    assert calibration_error(right, np.array([0.15, 0.9, 1.0])) == pytest.approx(0)
    assert calibration_error(right, np.array([0.45, 0.95, 0.95])) == pytest.approx(0.1)
    assert auroc(np.array([0.1, 0.2, 0.9]), np.array([True, True, False])) == 1
    assert auroc(np.array([0.5, 0.5]), np.array([True, False])) == 0.5
    assert np.isnan(auroc(np.array([0.5]), np.array([True])))
    found = [Estimate("US", 0.9, 0.95), Estimate("CT", 0.3, 0.2), Estimate("CT", 1.0, 0.6)]
    rows = reliability_table(found)
    assert [row["modality"] for row in rows] == ["CT", "US", "all objects"]
    assert rows[-1]["DSC < 0.7"] == "2"
    assert [row["objects"] for row in bins_table(found)] == ["1", "2"]


def test_python_results_have_names_masks_and_confidence(samples: Path) -> None:
    from repmedsam_infer import Segmenter

    segmenter = Segmenter(precision="fp32", threads=2)
    with np.load(samples / "2DBox_XRay_phantom_0000.npz") as case:
        image, boxes = case["imgs"], case["boxes"]
    names = [f"tooth {i}" for i in range(len(boxes))]
    result = segmenter.segment(image, boxes, names)
    assert [one.name for one in result.objects] == names
    np.testing.assert_array_equal(np.asarray(result), result.labels)
    for one in result.objects:
        np.testing.assert_array_equal(result.mask(one.name), result.labels == one.label)
        assert one.pixels == (result.labels == one.label).sum()
        assert one.confidence is not None
        assert 0 <= one.confidence <= 1
    with pytest.raises(UsageError, match="no object 'liver'"):
        result.mask("liver")
    with pytest.raises(UsageError, match="as many are needed"):
        segmenter.segment(image, boxes, ["one name"])
    with pytest.raises(ValueError, match="0 to 255"):
        segmenter.segment(image * np.int16(9), boxes)
