"""The pipeline's promises, with a network of known result: its mask is the box that prompts it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.boxes import check_boxes
from repmedsam_infer.case import Case
from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.confidence import ConfidenceModel
from repmedsam_infer.engines.engine import Decoded, Engine, in_batches
from repmedsam_infer.engines.precision import Precision
from repmedsam_infer.segmentation.ellipsoid import SliceTriples, VolumeBox, smoothed
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch

F32 = NDArray[np.float32]


class BoxEngine:
    """Segments each box as itself, shrunk by `shrink` frame pixels a side; remembers what it was asked."""

    name, version, grid = "box", "0", 64
    precision: Precision = "fp32"
    calibration = Calibration()
    confidence: ConfidenceModel | None = None

    def __init__(self, shrink: float = 0, focus: bool = False) -> None:
        self.shrink = shrink
        self.focus = focus
        self.images: list[F32] = []
        self.batches: list[int] = []  # of each decoding, the number of its boxes
        self.decoded: list[int] = []  # of each decoding, its image's place in `images`
        self.prompts: list[F32] = []
        self.rois: list[F32] = []
        self.workers = [self]

    def encode(self, image: F32) -> F32:
        self.images.append(image)
        return np.full((256, 1, 1), len(self.images) - 1, np.float32)

    def decode(self, embedding: F32, boxes: F32, rois: F32) -> Decoded:
        self.decoded.append(int(embedding[0, 0, 0]))
        self.batches.append(len(boxes))
        self.prompts += list(boxes)
        self.rois += list(rois)
        low, high = boxes[:, :2] + self.shrink, boxes[:, 2:] + 1 - self.shrink
        steps = (np.arange(256) + 0.5) / 256
        x, y = (rois[:, [i]] + (rois[:, [i + 2]] - rois[:, [i]]) * steps for i in (0, 1))
        across, down = (np.minimum(p - low[:, [i]], high[:, [i]] - p) for i, p in ((0, x), (1, y)))
        logits = np.minimum(down[:, :, None], across[:, None, :]).clip(-5, 5).astype(np.float32)
        return Decoded(logits, np.ones(len(boxes), np.float32))


def make_case(imgs: NDArray[np.uint8], raw_boxes: list[list[float]], is_volume: bool) -> Case:
    boxes, warnings = check_boxes("case", np.array(raw_boxes, float), imgs.shape[: 3 if is_volume else 2])
    return Case("case", imgs, boxes, None, tuple(warnings), is_volume)


def volume(depth: int, side: int = 256) -> NDArray[np.uint8]:
    """Every slice different, each of full range."""
    imgs = np.zeros((depth, side, side), np.uint8)
    for z in range(depth):
        imgs[z, 0, 0], imgs[z, 1, 1] = 255, z + 1
    return imgs


Z_RANGES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)).map(sorted), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(z_ranges=Z_RANGES)
def test_each_needed_slice_is_encoded_exactly_once_and_each_box_fills_all_its_slices(z_ranges: list[list[int]]) -> None:
    engine = BoxEngine()
    boxes = [[20 * i + 5, 40, z[0], 20 * i + 14, 60, z[1]] for i, z in enumerate(z_ranges)]
    segs = segment(make_case(volume(12), [[float(v) for v in b] for b in boxes], True), engine, Stopwatch()).labels

    needed = {z for first, last in z_ranges for z in range(first, last + 1)}
    encoded = [round(float(image[0, 1, 1]) * 255) - 1 for image in engine.images]
    assert sorted(encoded) == sorted(needed)
    for label, (first, last) in enumerate(z_ranges, 1):
        assert np.unique(np.nonzero(segs == label)[0]).tolist() == list(range(first, last + 1))
    # One batch a slice, of the boxes that are on it, whose network is given what was encoded of this slice.
    assert [encoded[i] for i in engine.decoded] == sorted(needed)
    assert engine.batches == [sum(first <= z <= last for first, last in z_ranges) for z in sorted(needed)]


def test_slices_are_prompted_with_sections_of_the_ellipsoid_in_the_box() -> None:
    engine = BoxEngine()
    segment(make_case(volume(5), [[50, 60, 0, 149, 159, 4]], True), engine, Stopwatch())
    sides = [float(prompt[2] - prompt[0] + 1) for prompt in engine.prompts]
    assert sides == pytest.approx([100 * np.sqrt(1 - (z / 2.5) ** 2) for z in (-2, -1, 0, 1, 2)], abs=1e-3)
    assert engine.prompts[2].tolist() == [50, 60, 149, 159]
    for prompt in engine.prompts:
        assert (prompt[0] + prompt[2]) / 2 == pytest.approx(99.5)
        assert (prompt[1] + prompt[3]) / 2 == pytest.approx(109.5)


@given(first=st.integers(0, 50), depth=st.integers(0, 50), side=st.floats(0, 200))
def test_sections_lie_in_their_box_and_are_never_inverted(first: int, depth: int, side: float) -> None:
    span = VolumeBox(1, first, first + depth, np.array([10, 20, 10 + side, 20 + side / 2], np.float32))
    for z in range(first, first + depth + 1):
        x_min, y_min, x_max, y_max = span.section(z)
        assert x_min >= 10 - 1e-3
        assert x_max <= 10 + side + 1e-3
        assert x_max >= x_min - 1e-3
        assert y_max >= y_min - 1e-3


@pytest.mark.parametrize("side", [256, 512, 100])
@pytest.mark.parametrize("focus", [False, True])
def test_a_mask_stays_in_its_box(side: int, focus: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (side, side)).astype(np.uint8)
    box = [0.25 * side, 0.375 * side, 0.5 * side - 1, 0.75 * side - 1]
    segs = segment(make_case(image, [box], False), BoxEngine(shrink=-30, focus=focus), Stopwatch()).labels
    ys, xs = np.nonzero(segs)
    assert [xs.min(), ys.min(), xs.max(), ys.max()] == [*np.floor(box[:2]), *box[2:]]


@settings(max_examples=60)
@given(data=st.data(), height=st.integers(20, 700), width=st.integers(20, 700))
def test_with_focus_masks_lie_where_they_do_without(data: st.DataObject, height: int, width: int) -> None:
    """And right to the pixel, as the box network's mask is its box; its four corners may be rounded off."""
    x_min, y_min = data.draw(st.integers(0, width - 2)), data.draw(st.integers(0, height - 2))
    x_max, y_max = data.draw(st.integers(x_min + 1, width - 1)), data.draw(st.integers(y_min + 1, height - 1))
    image = np.zeros((height, width), np.uint8)
    segs = segment(make_case(image, [[x_min, y_min, x_max, y_max]], False), BoxEngine(focus=True), Stopwatch()).labels
    wanted = np.zeros((height, width), bool)
    wanted[y_min : y_max + 1, x_min : x_max + 1] = True
    corners = np.ix_([y_min, y_max], [x_min, x_max])
    wanted[corners] = segs[corners] == 1
    np.testing.assert_array_equal(segs == 1, wanted)


def test_the_roi_is_around_the_box_of_the_volume_in_every_slice() -> None:
    engine = BoxEngine(focus=True)
    segment(make_case(volume(5), [[50, 60, 0, 149, 159, 4]], True), engine, Stopwatch())
    around = rois_around(np.array([[50, 60, 149, 159]], np.float32))
    np.testing.assert_array_equal(np.stack(engine.rois), np.repeat(around, 5, 0))


def test_a_picture_is_encoded_once_and_decoded_in_one_batch() -> None:
    engine = BoxEngine()
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    boxes = [[10.0 * i, 20, 10 * i + 8, 60] for i in range(20)]
    segs = segment(make_case(image, boxes, False), engine, Stopwatch()).labels
    assert len(engine.images) == len(engine.batches) == 1
    assert np.unique(segs).tolist() == list(range(21))


def test_unusable_boxes_leave_their_labels_empty_and_the_others_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    boxes: list[list[float]] = [[10.0, 10, 40, 40], [np.nan, 1, 2, 3], [900, 900, 950, 950], [100, 100, 140, 150]]
    case = make_case(image, boxes, False)
    segs = segment(case, BoxEngine(), Stopwatch()).labels
    assert np.unique(segs).tolist() == [0, 1, 4]
    assert len(case.warnings) == 2


@pytest.mark.parametrize("is_volume", [False, True])
def test_nothing_is_encoded_where_there_is_no_usable_box(is_volume: bool) -> None:
    engine = BoxEngine()
    imgs = volume(4) if is_volume else volume(4)[0]
    box = [np.nan] * (6 if is_volume else 4)
    segs = segment(make_case(imgs, [box], is_volume), engine, Stopwatch()).labels
    assert not segs.any()
    assert segs.shape == imgs.shape
    assert not engine.images


def test_three_hundred_boxes_have_three_hundred_labels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (256, 256)).astype(np.uint8)
    boxes = [[16.0 * (i % 16), 8.0 * (i // 16), 16 * (i % 16) + 10, 8 * (i // 16) + 5] for i in range(300)]
    segs = segment(make_case(image, boxes, False), BoxEngine(), Stopwatch()).labels
    assert segs.dtype == np.uint16
    assert np.unique(segs).tolist() == list(range(301))


def test_batches_are_bounded_and_in_order() -> None:
    boxes = np.arange(150, dtype=np.float32)
    sizes: list[int] = []

    def decode(some: slice) -> Decoded:
        sizes.append(len(boxes[some]))
        return Decoded(boxes[some], -boxes[some])

    decoded = in_batches(decode, 150)
    np.testing.assert_array_equal(decoded.low_res_logits, boxes)
    np.testing.assert_array_equal(decoded.iou, -boxes)
    assert sizes == [8] * 18 + [6]


def test_a_volumes_slices_in_colour_are_taken(openvino_engine: Engine, tmp_path: Path) -> None:
    imgs = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3)).astype(np.uint8)
    segs = segment(make_case(imgs, [[5, 5, 0, 30, 30, 1]], True), openvino_engine, Stopwatch()).labels
    assert segs.shape == (2, 40, 50)


@given(depth=st.integers(1, 12), first=st.integers(0, 5), seed=st.integers(0, 99), share=st.floats(0, 0.5))
def test_logits_are_smoothed_across_slices_as_a_whole_column_would_be(
    depth: int, first: int, seed: int, share: float
) -> None:
    logits = np.random.default_rng(seed).standard_normal((depth, 4, 4)).astype(np.float32)
    triples = SliceTriples(range(first, first + depth))
    found = [
        (z, smoothed(below.get(7, here[7]), here[7], above.get(7, here[7]), share))
        for i in range(depth)
        for z, below, here, above in triples.add(first + i, {7: logits[i]})
    ]
    assert [z for z, _ in found] == list(range(first, first + depth))
    padded = np.pad(logits, ((1, 1), (0, 0), (0, 0)), mode="edge")
    expected = share * (padded[:-2] + padded[2:]) + (1 - 2 * share) * padded[1:-1]
    np.testing.assert_allclose(np.stack([smooth for _, smooth in found]), expected, atol=1e-6)
