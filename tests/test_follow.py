"""Objects followed from slice to slice: in 3D boxes, as the challenge's baseline does it, and from one slice on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer import Segmenter, SetupError, UsageError
from repmedsam_infer.boxes import Boxes
from repmedsam_infer.case import Case
from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.confidence import ConfidenceModel, Perceptron
from repmedsam_infer.engines.engine import Decoded
from repmedsam_infer.engines.precision import Precision
from repmedsam_infer.preprocess import View
from repmedsam_infer.segmentation import embeddings as kept_embeddings
from repmedsam_infer.segmentation import open_ended
from repmedsam_infer.segmentation.embeddings import SliceEmbeddings
from repmedsam_infer.segmentation.follow import MARGIN, OnSlice
from repmedsam_infer.segmentation.open_ended import WAY_FEATURES, Ending, keep_what_following_found
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.segmentation.segmented import Segmented
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.test_confidence import constant
from tests.test_segment import F32, make_case, volume

Box = tuple[int, int, int, int]


def presence_is_predicted_iou() -> ConfidenceModel:
    """Estimates that an object is on a slice where the network predicts a good mask there."""
    weights = np.zeros((len(WAY_FEATURES), 1), np.float32)
    weights[0] = 1
    zero, one = np.zeros(len(WAY_FEATURES), np.float32), np.ones(len(WAY_FEATURES), np.float32)
    presence = Perceptron(zero, one, ((weights, np.zeros(1, np.float32)),))
    return ConfidenceModel(constant(24, [0.6]), constant(24, [0.6]), constant(27, [0.6]), presence)


class SceneEngine:
    """Finds one object, whose box on each slice is known, as far as the prompt shows it.

    Where it is not, the mask fills the prompt, as a network's does, and the predicted IoU is low.
    """

    name, version, grid, focus = "scene", "0", 64, True
    precision: Precision = "fp32"
    calibration = Calibration()

    def __init__(self, scene: dict[int, Box], gaps: Sequence[int] = ()) -> None:
        self.scene, self.gaps = scene, gaps
        self.confidence: ConfidenceModel | None = presence_is_predicted_iou()
        self.encoded: list[int] = []
        self.prompts: dict[int, list[F32]] = {}
        self.workers = [self]

    def encode(self, image: F32) -> F32:
        z = round(float(image[0, 1, 1]) * 255) - 1
        self.encoded.append(z)
        return np.full((256, 16, 16), z, np.float32)

    def decode(self, embedding: F32, boxes: F32, rois: F32) -> Decoded:
        z = int(embedding[0, 0, 0])
        self.prompts.setdefault(z, []).extend(boxes)
        here = np.tile(np.array(self.scene.get(z, (0, 0, 255, 255)), np.float32), (len(boxes), 1))
        low, high = np.maximum(here[:, :2], boxes[:, :2]), np.minimum(here[:, 2:], boxes[:, 2:]) + 1
        steps = (np.arange(256) + 0.5) / 256
        x, y = (rois[:, [i]] + (rois[:, [i + 2]] - rois[:, [i]]) * steps for i in (0, 1))
        across, down = (np.minimum(p - low[:, [i]], high[:, [i]] - p) for i, p in ((0, x), (1, y)))
        logits = np.minimum(down[:, :, None], across[:, None, :]).clip(-5, 5).astype(np.float32)
        iou = 0.9 if z in self.scene and z not in self.gaps else 0.1
        return Decoded(logits, np.full(len(boxes), iou, np.float32))


def moving(first: int, last: int, step: int = 1) -> dict[int, Box]:
    """An object of 40 x 30 pixels that moves by `step` pixels a slice."""
    return {z: (60 + step * z, 80, 99 + step * z, 109) for z in range(first, last + 1)}


def on_slice(depth: int, box: Box, z: int) -> Case:
    x_min, y_min, x_max, y_max = box
    case = make_case(volume(depth), [[x_min, y_min, z, x_max, y_max, z]], True)
    boxes = Boxes(case.boxes.corners, case.boxes.labels, case.boxes.count, frozenset({1}))
    return Case(case.name, case.imgs, boxes, None, case.warnings, True)


def slices_with(labels: NDArray[np.generic]) -> list[int]:
    return np.unique(np.nonzero(labels)[0]).tolist()


@settings(max_examples=30)
@given(first=st.integers(0, 10), length=st.integers(1, 20), seed=st.integers(0, 19), step=st.integers(-2, 2))
def test_an_object_that_moves_is_found_from_end_to_end(first: int, length: int, seed: int, step: int) -> None:
    scene = moving(first, first + length - 1, step)
    z = first + seed % length
    engine = SceneEngine(scene)
    done = segment(on_slice(36, scene[z], z), engine, Stopwatch())
    assert slices_with(done.labels) == list(scene)
    lows, highs = np.min([box[:2] for box in scene.values()], 0), np.max([box[2:] for box in scene.values()], 0)
    np.testing.assert_allclose(done.corners, [[*lows, first, *highs, first + length - 1]], atol=1)
    assert not done.warnings
    assert len(set(engine.encoded)) == len(engine.encoded)  # what following encoded is not encoded again
    assert len(engine.encoded) <= length + 8


def test_one_unlikely_slice_does_not_end_an_object_and_several_do() -> None:
    scene = moving(3, 25, 0)
    done = segment(on_slice(36, scene[5], 5), SceneEngine(scene, gaps=[12]), Stopwatch())
    assert slices_with(done.labels) == list(range(3, 26))
    done = segment(on_slice(36, scene[5], 5), SceneEngine(scene, gaps=range(12, 16)), Stopwatch())
    assert slices_with(done.labels) == list(range(3, 12))


@given(st.lists(st.floats(0, 1), max_size=30))
def test_the_end_is_where_the_sum_of_log_odds_is_highest(estimates: list[float]) -> None:
    ending, tried = Ending(7), 0
    for i, presence in enumerate(estimates, 1):
        tried = i
        if not ending.add(7 + i, presence):
            break
    odds = [np.log(p / (1 - p)) for p in np.clip(estimates[:tried], 1 - open_ended.SUREST, open_ended.SUREST)]
    sums = np.concatenate([[0], np.cumsum(odds)])
    assert sums[ending.end - 7] == pytest.approx(max(sums))


def test_only_what_was_found_on_the_way_is_kept_and_other_objects_are_left_alone() -> None:
    segs = np.zeros((6, 256, 256), np.uint8)
    segs[1:4, 10:50, 10:50], segs[2, 30:35, 30:35] = 1, 2
    mask = np.zeros((30, 40), bool)
    mask[:, :20] = True
    on_the_way = [
        OnSlice(z, np.zeros(4, np.float32), slice(20, 50), slice(10, 50), mask, np.zeros(0, np.float32))
        for z in (1, 2, 3)
    ]
    keep_what_following_found(segs, 1, on_the_way)
    expected = np.zeros_like(segs)
    expected[1:4, 20:50, 10:30], expected[2, 30:35, 30:35] = 1, 2
    np.testing.assert_array_equal(segs, expected)


def test_following_stops_at_a_limit_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_ended, "MOST_SLICES", 6)
    scene = moving(0, 39, 0)
    done = segment(on_slice(40, scene[20], 20), SceneEngine(scene), Stopwatch())
    assert slices_with(done.labels) == list(range(14, 27))
    (warning,) = done.warnings
    assert "box 1: its object was followed for 6 slices, to slice 14, and may go on" in warning


def test_weights_without_anything_that_finds_ends_are_an_error() -> None:
    scene = moving(0, 9)
    engine = SceneEngine(scene)
    engine.confidence = None
    with pytest.raises(SetupError, match=r"cannot find where an object ends .* give boxes of six numbers"):
        segment(on_slice(10, scene[5], 5), engine, Stopwatch())


def follow_box(scene: dict[int, Box], depth: int, box: list[float]) -> tuple[Segmented, SceneEngine]:
    engine = SceneEngine(scene)
    return segment(make_case(volume(depth), [box], True), engine, Stopwatch(), propagation="follow"), engine


def test_follow_goes_from_the_middle_outwards_by_the_extent_of_the_mask_before() -> None:
    scene = moving(2, 8, 2)
    done, engine = follow_box(scene, 12, [60, 70, 2, 140, 120, 8])
    assert slices_with(done.labels) == list(range(2, 9))
    assert engine.prompts[5][0].tolist() == [60, 70, 140, 120]  # the middle slice: the box itself
    for z in (4, 3, 2):
        x_min, y_min, x_max, y_max = scene[z + 1]
        expected = [max(x_min - MARGIN, 60), y_min - MARGIN, min(x_max + MARGIN, 140), y_max + MARGIN]
        np.testing.assert_allclose(engine.prompts[z][0], expected, atol=1)
    assert engine.encoded.count(5) == 1
    assert sorted(engine.encoded) == list(range(2, 9))


def test_follow_begins_anew_with_the_box_where_a_mask_is_empty() -> None:
    scene = moving(2, 8, 0)
    scene[4] = (200, 200, 210, 210)  # outside of the box
    _, engine = follow_box(scene, 12, [50, 70, 2, 110, 120, 8])
    assert engine.prompts[3][0].tolist() == [50, 70, 110, 120]


def test_follow_keeps_smaller_objects_on_top_and_gives_no_confidence() -> None:
    scene = dict.fromkeys(range(6), (0, 0, 255, 255))
    boxes = [[40.0, 40, 1, 60, 60, 3], [20.0, 20, 0, 120, 120, 5]]
    done = segment(make_case(volume(6), boxes, True), SceneEngine(scene), Stopwatch(), propagation="follow")
    assert (done.labels[2, 45:56, 45:56] == 1).all()
    assert done.labels[2, 100, 100] == 2
    assert done.labels[0, 50, 50] == 2
    assert np.isnan(done.confidence).all()


def test_embeddings_are_kept_up_to_a_limit_the_latest_used_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, case = SceneEngine({}), make_case(volume(9), [[0, 0, 0, 9, 9, 8]], True)
    embeddings = SliceEmbeddings(case, View(256, 256), engine, Stopwatch())
    (one,) = embeddings.of([0]).values()
    monkeypatch.setattr(kept_embeddings, "MOST_BYTES", 3 * one.nbytes)
    embeddings.of([1, 2])
    embeddings.of([0])
    embeddings.of([3])
    assert engine.encoded == [0, 1, 2, 3]
    assert set(embeddings.kept) == {0, 2, 3}
    assert embeddings.of([4, 5, 6, 7])[7][0, 0, 0] == 7  # more at once than are kept


def ellipsoid(depth: int = 24, side: int = 128) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    z, y, x = np.mgrid[:depth, :side, :side]
    organ = ((x - 60) / 22) ** 2 + ((y - 66) / 17) ** 2 + ((z - 11) / 7.5) ** 2 < 1
    body = np.hypot(x - 64, y - 64) < 58
    image = 25 * body + 120 * organ + np.random.default_rng(0).normal(0, 5, organ.shape)
    return image.clip(0, 255).astype(np.uint8), organ


def test_the_network_follows_a_bright_ellipsoid_to_its_ends() -> None:
    image, organ = ellipsoid()
    rows, columns = np.nonzero(organ[11])
    box = [int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())]
    result = Segmenter(threads=2).segment(image, [box], ["organ"], slices=11)
    found, true = slices_with(result.labels), slices_with(organ)
    assert abs(found[0] - true[0]) <= 2
    assert abs(found[-1] - true[-1]) <= 2
    both = (result.labels > 0) & organ
    assert 2 * both.sum() / ((result.labels > 0).sum() + organ.sum()) > 0.85
    (one,) = result.objects
    assert one.box[2] <= found[0]
    assert one.box[5] >= found[-1]


def test_slices_belong_to_boxes_of_four_numbers_on_volumes(tmp_path: Path) -> None:
    image, _ = ellipsoid()
    segmenter = Segmenter(threads=2)
    for boxes, slices in (([[1, 2, 30, 40]], [3, 4]), ([[1, 2, 3, 30, 40, 5]], 3), ([[1, 2, 30, 40]] * 2, [3])):
        with pytest.raises(UsageError, match="slices belong to boxes of four numbers, one to each"):
            segmenter.segment(image, boxes, slices=slices)
    with pytest.raises(UsageError, match="'around' is unknown; ellipsoid, follow"):
        Segmenter(propagation="around")  # type: ignore[arg-type]
