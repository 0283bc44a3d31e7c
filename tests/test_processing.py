"""Preprocessing and postprocessing: parity with the challenge baseline, and what must hold for any image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repmedsam_infer.decoder_roi import interpolated, resampling
from repmedsam_infer.postprocess import frame_logits, image_mask, roi_mask
from repmedsam_infer.preprocess import FRAME_SIZE, View
from tests.conftest import PARITY

SIDES = st.one_of(st.integers(1, 40), st.integers(200, 300), st.integers(1000, 6000))


@pytest.mark.parametrize("k", [0, 4])
def test_image_is_placed_as_the_baseline_does(k: int) -> None:
    expected = np.load(PARITY / "processing.npz")
    image = expected[f"image{k}"]
    view = View(*image.shape[:2])
    assert [view.new_height, view.new_width] == expected[f"new_size{k}"].tolist()
    placed = np.moveaxis(view.place_image(image), 0, -1)
    np.testing.assert_allclose(placed[::4, ::4], expected[f"padded{k}"], atol=1e-6)


@pytest.mark.parametrize("k", [0, 4])
def test_logits_become_the_baselines_mask(k: int) -> None:
    expected = np.load(PARITY / "processing.npz")
    height, width = expected[f"image{k}"].shape[:2]
    view = View(height, width)
    mask = image_mask(frame_logits(expected[f"logits64_{k}"], view), view)
    truth = np.unpackbits(expected[f"mask{k}"])[: height * width].reshape(height, width).astype(bool)
    assert mask.shape == truth.shape
    # Two bilinear implementations may round differently where a logit is 0 to the last digit.
    assert (mask != truth).mean() < 1e-4


@settings(max_examples=50)
@given(height=SIDES, width=SIDES)
def test_any_shape_fits_the_frame_and_comes_back(height: int, width: int) -> None:
    view = View(height, width)
    assert max(view.new_height, view.new_width) == FRAME_SIZE
    assert min(view.new_height, view.new_width) >= 1
    logits = frame_logits(np.ones((64, 64), np.float32), view)
    assert logits.shape == (view.new_height, view.new_width)
    mask = image_mask(logits, view)
    assert mask.shape == (height, width)
    assert mask.all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1, 3), (3024, 4032, 3), (37, 53)])
def test_extreme_images_are_placed(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    placed = View(*shape[:2]).place_image(image)
    assert placed.shape == (3, 256, 256)
    assert placed.dtype == np.float32
    assert 0 <= placed.min() <= placed.max() <= 1


def test_a_constant_image_is_zero_not_nan() -> None:
    assert (View(30, 20).place_image(np.full((30, 20, 3), 200, np.uint8)) == 0).all()


def test_a_grey_image_is_the_same_as_its_three_channels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (300, 200)).astype(np.uint8)
    view = View(300, 200)
    np.testing.assert_array_equal(view.place_image(grey), view.place_image(np.repeat(grey[..., None], 3, -1)))


@given(height=st.integers(1, 1000), width=st.integers(1, 1000))
def test_the_box_of_the_whole_image_becomes_that_of_its_whole_place(height: int, width: int) -> None:
    view = View(height, width)
    (placed,) = view.place_boxes(np.array([[0, 0, width - 1, height - 1]], np.float32))
    np.testing.assert_allclose(placed, [0, 0, width * view.scale - 1, height * view.scale - 1], atol=1e-3)


@given(height=st.integers(1, 900), width=st.integers(1, 900), x=st.floats(0, 1), y=st.floats(0, 1), w=st.floats(0, 1))
def test_the_pixels_of_a_placed_box_are_the_box(height: int, width: int, x: float, y: float, w: float) -> None:
    view = View(height, width)
    left, top = int(x * (width - 1)), int(y * (height - 1))
    right, bottom = left + int(w * (width - 1 - left)), top + int(w * (height - 1 - top))
    (placed,) = view.place_boxes(np.array([[left, top, right, bottom]], np.float32))
    assert view.pixels(placed) == (slice(top, bottom + 1), slice(left, right + 1))


@settings(max_examples=50)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_logits_over_an_roi_come_back_where_they_were(height: int, width: int, seed: int) -> None:
    """A ramp over a roi is 0 on a line; the mask's edge is that line, in the image."""
    view = View(height, width)
    rng = np.random.default_rng(seed)
    left, right = np.sort(rng.uniform(-20, 276, 2))
    roi = np.array([left, -5, right + 5, 261], np.float32)
    edge = float(rng.uniform(left + 1, right + 4))  # in the frame
    centres = left + (np.arange(64) + 0.5) / 64 * (right + 5 - left)
    logits = np.tile((centres - edge).astype(np.float32), (64, 1))
    mask = roi_mask(logits, roi, view, slice(0, height), slice(0, width))
    expected = (np.arange(width) + 0.5) * view.scale
    sure = np.abs(expected - edge) > (right + 5 - left) / 64
    np.testing.assert_array_equal(mask[:, sure], np.tile((expected > edge)[sure], (height, 1)))


@settings(deadline=None)
@given(count=st.integers(1, 70), seed=st.integers(0, 1000))
def test_interpolation_is_the_product_with_its_matrix(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((count, 5), np.float32)
    positions = rng.uniform(-3, count + 3, 40)
    np.testing.assert_allclose(interpolated(values, positions), resampling(positions, count) @ values, atol=1e-5)


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_part_of_a_mask_is_that_part_of_the_whole(seed: int) -> None:
    """Upsampling only where a mask can be changes nothing there."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(20, 600, 2).tolist()
    view = View(height, width)
    low, high = np.sort(rng.uniform(0, 250, (2, 2)).astype(np.float32), 0)
    roi = np.concatenate([low, high + 5])
    logits = rng.standard_normal((64, 64), np.float32)
    whole = roi_mask(logits, roi, view, slice(0, height), slice(0, width))
    top, bottom = np.sort(rng.integers(0, height + 1, 2)).tolist()
    left, right = np.sort(rng.integers(0, width + 1, 2)).tolist()
    rows, columns = slice(top, bottom), slice(left, right)
    np.testing.assert_array_equal(roi_mask(logits, roi, view, rows, columns), whole[rows, columns])


def test_boxes_scale_with_the_image() -> None:
    boxes = np.array([[10, 20, 99, 199]], np.float32)  # covers 10..100 and 20..200
    np.testing.assert_allclose(View(512, 300).place_boxes(boxes), [[5, 10, 49, 99]])
    np.testing.assert_allclose(View(256, 150).place_boxes(boxes), boxes)


def test_padding_is_bottom_right() -> None:
    placed = View(256, 128).place_image(np.random.default_rng(0).integers(1, 256, (256, 128)).astype(np.uint8))
    assert (placed[:, :, 128:] == 0).all()
    assert placed[:, :, :128].any()


def test_a_mask_comes_back_where_its_box_went() -> None:
    """The whole loop: what is positive in a box's place in the frame covers that box in the image."""
    view = View(700, 1024)
    box = np.array([[300, 200, 640, 520]], np.float32)
    x_min, y_min, x_max, y_max = (view.place_boxes(box)[0] / 4).round().astype(int)
    logits = np.full((64, 64), -9, np.float32)
    logits[y_min:y_max, x_min:x_max] = 9
    ys, xs = np.nonzero(image_mask(frame_logits(logits, view), view))
    found = [xs.min(), ys.min(), xs.max(), ys.max()]
    np.testing.assert_allclose(found, box[0], atol=2 * 1024 / 64)
