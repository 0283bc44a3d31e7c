"""Close views of small boxes: where they lie, which boxes they show, what they cost."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer import Segmenter
from repmedsam_infer.errors import UsageError
from repmedsam_infer.preprocess import (
    ENCODING,
    LARGEST_BOX,
    MOST_VIEWS,
    ZOOMS,
    View,
    Zoom,
    check_zoom,
    close_views,
)
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.test_segment import BoxEngine, make_case

SIDES = st.tuples(st.integers(40, 3000), st.integers(40, 3000))


def boxes_in(shape: tuple[int, int], count: int, seed: int) -> NDArray[np.float32]:
    """(N, 4) boxes from a pixel to a third of the image's sides."""
    rng = np.random.default_rng(seed)
    size = np.array(shape[::-1])
    low = rng.integers(0, size, (count, 2))
    high = np.minimum(low + rng.integers(0, size // 3 + 1, (count, 2)) * rng.random((count, 1)), size - 1)
    return np.concatenate([low, np.floor(high)], 1).astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(shape=SIDES, count=st.integers(0, 40), seed=st.integers(0, 999), zoom=st.sampled_from(ZOOMS))
def test_views_lie_in_the_image_are_finer_and_show_each_small_box_at_most_once(
    shape: tuple[int, int], count: int, seed: int, zoom: Zoom
) -> None:
    whole, boxes = View(*shape), boxes_in(shape, count, seed)
    views = close_views(boxes, whole, zoom)
    shown = [i for _, of_view in views for i in of_view.tolist()]
    assert len(set(shown)) == len(shown)
    assert len(views) <= MOST_VIEWS[zoom]
    if zoom == "auto":
        assert len(views) * ENCODING + len(shown) <= ENCODING + count  # as long again as the whole view, at most
    for view, of_view in views:
        assert view.left >= 0
        assert view.top >= 0
        assert view.left + view.width <= whole.width
        assert view.top + view.height <= whole.height
        assert view.scale > whole.scale
        assert len(of_view)
        for box in boxes[of_view]:
            assert max(box[2:] - box[:2] + 1) * whole.scale < LARGEST_BOX
            rows, columns = view.pixels(view.place_boxes(box[None])[0])
            assert (columns.start, rows.start, columns.stop - 1, rows.stop - 1) == tuple(box)


def test_a_large_box_has_the_whole_view_alone() -> None:
    assert not close_views(np.array([[0, 0, 999, 999]], np.float32), View(2000, 2000), "full")


def test_boxes_near_each_other_share_a_view() -> None:
    boxes = np.array([[100 + 40 * i, 100, 119 + 40 * i, 119] for i in range(3)], np.float32)
    views = close_views(np.concatenate([boxes, boxes + 1500]), View(2000, 2000), "full")
    assert all(len(of_view) > 1 for _, of_view in views)
    assert sum(len(of_view) for _, of_view in views) == 6


@given(x=st.integers(0, 970), y=st.integers(0, 970), side=st.integers(8, 30))
@settings(max_examples=20, deadline=None)
def test_a_close_view_shows_the_pixels_of_its_rectangle(x: int, y: int, side: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1000, 1000), np.uint8)
    box = np.array([[x, y, x + side - 1, y + side - 1]], np.float32)
    assume(x + side <= 1000 and y + side <= 1000)
    ((view, _),) = close_views(box, View(1000, 1000), "auto")
    rectangle = np.ascontiguousarray(image[view.top : view.top + view.height, view.left : view.left + view.width])
    np.testing.assert_array_equal(view.place_image(image), View(*rectangle.shape).place_image(rectangle))


@settings(max_examples=100, deadline=None)
@given(shape=SIDES, seed=st.integers(0, 999), left=st.integers(0, 20), top=st.integers(0, 20))
def test_a_mirrored_view_shows_the_same_pixels_from_right_to_left(
    shape: tuple[int, int], seed: int, left: int, top: int
) -> None:
    view = View(shape[0] - top, shape[1] - left, 64, left, top)
    mirrored = replace(view, mirrored=True)
    image = np.random.default_rng(seed).integers(0, 255, shape, np.uint8)
    np.testing.assert_array_equal(
        mirrored.place_image(image)[:, :, : view.new_width], view.place_image(image)[:, :, : view.new_width][..., ::-1]
    )
    boxes = boxes_in(shape, 8, seed)
    boxes[:, :2] = np.maximum(boxes[:, :2], (left, top))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    placed = mirrored.place_boxes(boxes)
    np.testing.assert_allclose(mirrored.mirror(placed), view.place_boxes(boxes), atol=1e-3)
    for box, there, here in zip(boxes, placed, view.place_boxes(boxes), strict=True):
        rows, columns = mirrored.pixels(there)
        assert (columns.start, rows.start, columns.stop - 1, rows.stop - 1) == tuple(box)
        right, top_edge, left_edge, bottom = mirrored.edges(there + np.array([0, 0, 1, 1], np.float32))
        np.testing.assert_allclose(
            [left_edge, top_edge, right, bottom], view.edges(here + np.array([0, 0, 1, 1], np.float32)), atol=0.05
        )


@pytest.mark.parametrize(("zoom", "encodings"), [("off", 1), ("auto", 2), ("full", 6)])
def test_masks_are_the_mean_of_both_views(zoom: Zoom, encodings: int) -> None:
    boxes: list[list[float]] = [[100, 100, 139, 139], [800, 800, 839, 839]]
    engine = BoxEngine(shrink=2, focus=True)
    segs = segment(
        make_case(np.zeros((1024, 1024), np.uint8), boxes, is_volume=False), engine, Stopwatch(), zoom
    ).labels
    assert len(engine.images) == encodings
    margin = 8  # image pixels that 2 frame pixels are in the whole view; in a close view they are less than 1
    for label, box in enumerate(boxes, 1):
        xs = np.nonzero(segs == label)[1]
        if zoom == "off":
            assert (xs.min() - box[0], xs.max() - box[2]) == (margin, -margin)
    if zoom == "full":  # both close views, and all three mirrored; the mean of two ramps is 0 between their ends
        assert all(0 < np.nonzero(segs == label)[1].min() - box[0] < margin for label, box in enumerate(boxes, 1))


@pytest.mark.filterwarnings("ignore:low confidence")  # the picture is noise
def test_box_after_box_on_a_large_picture_is_the_same_as_one_box_at_a_time() -> None:
    image = np.random.default_rng(0).integers(0, 255, (700, 900, 3), np.uint8)
    boxes = [[30, 40, 60, 90], [400, 300, 640, 600]]
    segmenter = Segmenter(precision="fp32", threads=2)
    segmenter.set_image(image)
    for box in [*boxes, boxes[0]]:
        np.testing.assert_array_equal(segmenter.masks([box])[0], segmenter.segment(image, [box]).labels == 1)


def test_an_unknown_zoom_is_refused() -> None:
    assert check_zoom("full") == "full"
    with pytest.raises(UsageError, match="the zoom 'nearer' is unknown; auto, off, full are possible"):
        check_zoom("nearer")
