"""Where masks overlap, the smaller box lies on top; of equal ones the later."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.boxes import bottom_to_top
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.test_segment import BoxEngine, make_case, volume

BIG, SMALL = [20.0, 20.0, 99.0, 99.0], [40.0, 40.0, 79.0, 59.0]


@pytest.mark.parametrize("boxes", [[BIG, SMALL], [SMALL, BIG]])
def test_the_smaller_box_lies_on_top_however_they_are_numbered(boxes: list[list[float]]) -> None:
    segs = segment(make_case(volume(1)[0], boxes, False), BoxEngine(), Stopwatch()).labels
    small, big = boxes.index(SMALL) + 1, boxes.index(BIG) + 1
    assert (segs[40:60, 40:80] == small).all()
    assert segs[30, 30] == big
    assert (segs == small).sum() == 20 * 40


@pytest.mark.parametrize("flip", [False, True])
def test_in_volumes_too_also_where_one_ends_before_the_other(flip: bool) -> None:
    big, small = [20.0, 20.0, 0.0, 99.0, 99.0, 5.0], [40.0, 40.0, 2.0, 79.0, 79.0, 4.0]
    boxes = [small, big] if flip else [big, small]
    segs = segment(make_case(volume(8), boxes, True), BoxEngine(), Stopwatch()).labels
    for z, there in enumerate([False, False, True, True, True, False]):
        assert (segs[z, 60, 60] == boxes.index(small) + 1) == there
        assert segs[z, 60, 60] > 0


def test_equal_boxes_later_over_earlier() -> None:
    segs = segment(make_case(volume(1)[0], [BIG, BIG], False), BoxEngine(), Stopwatch()).labels
    assert not (segs == 1).any()


@given(st.lists(st.tuples(*[st.integers(0, 40)] * 4), min_size=1, max_size=8))
def test_the_order_is_a_permutation_from_large_to_small(raw: list[tuple[int, int, int, int]]) -> None:
    boxes = np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in raw])
    order = bottom_to_top(boxes)
    assert sorted(order.tolist()) == list(range(len(boxes)))
    sizes = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)[order]
    assert (np.diff(sizes) <= 0).all()
