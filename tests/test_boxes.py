"""Boxes as people send them: usable ones are kept within the image, others dropped with a warning that names them."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from repmedsam_infer.boxes import are_fractions, check_boxes
from repmedsam_infer.errors import CaseReadError

ANY_DTYPE = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint64", "float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", ANY_DTYPE)
def test_every_number_type_is_taken(dtype: str) -> None:
    boxes, warnings = check_boxes("a", np.array([[1, 2, 30, 40]], dtype), (50, 60))
    np.testing.assert_array_equal(boxes.corners, [[1, 2, 30, 40]])
    assert not warnings


@pytest.mark.parametrize(
    ("box", "kept", "warning"),
    [
        ([5, 6, 60, 50], [5, 6, 59, 49], ""),  # x_max == W and y_max == H: exclusive ends
        ([30, 40, 1, 2], [1, 2, 30, 40], "out of order"),
        ([-9, 2, 30, 40], [0, 2, 30, 40], "clipped"),
        ([1, 2, 99, 40], [1, 2, 59, 40], "clipped"),
        ([1, 2, 1, 40], [1, 2, 1, 40], ""),  # one pixel wide: ends are inclusive
        ([60, 2, 70, 40], None, "outside the image"),
        ([-9, -9, -1, -1], None, "outside the image"),
        ([7, 7, 7, 7], None, "empty"),
        ([1, np.nan, 30, 40], None, "not finite"),
        ([1, 2, np.inf, 40], None, "not finite"),
    ],
)
def test_an_odd_2d_box(box: list[float], kept: list[float] | None, warning: str) -> None:
    boxes, warnings = check_boxes("a", np.array([[3, 3, 9, 9], box], float), (50, 60))
    assert boxes.labels.tolist() == ([1, 2] if kept else [1])
    assert boxes.count == 2
    if kept:
        np.testing.assert_array_equal(boxes.corners[1], kept)
    assert ("box 2" in warnings[0] and warning in warnings[0]) if warning else not warnings


@pytest.mark.parametrize(
    ("z", "kept", "warning"),
    [
        ((0, 9), (0, 9), ""),
        ((4, 10), (4, 9), ""),  # z_max == D
        ((4, 4), (4, 4), ""),  # a single slice
        ((7, 2), (2, 7), "out of order"),
        ((10, 12), None, "outside the image"),
    ],
)
def test_an_odd_3d_box(z: tuple[int, int], kept: tuple[int, int] | None, warning: str) -> None:
    boxes, warnings = check_boxes("a", np.array([[1, 2, z[0], 30, 40, z[1]]], np.uint16), (10, 50, 60))
    assert [(int(b[2]), int(b[5])) for b in boxes.corners] == ([kept] if kept else [])
    assert (warning in warnings[0]) if warning else not warnings


@given(
    raw=hnp.arrays(float, (5, 4), elements=st.floats(allow_nan=True, allow_infinity=True, width=64)),
    shape=st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_usable_boxes_are_sorted_and_inside(raw: np.ndarray, shape: tuple[int, int]) -> None:
    assume(not are_fractions(raw))
    boxes, warnings = check_boxes("a", raw, shape)
    low, high = boxes.corners[:, :2], boxes.corners[:, 2:]
    assert (low >= 0).all()
    assert (low <= high).all()
    assert (high <= np.array(shape[::-1]) - 1).all()
    assert len(boxes.labels) + sum("stays empty" in w for w in warnings) == 5


@pytest.mark.parametrize("empty", [np.zeros((0, 4)), np.zeros(0), np.zeros((0, 6)), np.zeros((0, 0))])
def test_no_boxes_is_a_warning(empty: np.ndarray) -> None:
    boxes, warnings = check_boxes("a", empty, (50, 60))
    assert boxes.count == 0
    assert "no boxes" in warnings[0]


def test_a_single_flat_box_is_taken() -> None:
    boxes, _ = check_boxes("a", np.array([1, 2, 30, 40]), (50, 60))
    assert boxes.corners.shape == (1, 4)


@pytest.mark.parametrize(
    ("raw", "shape"),
    [
        (np.zeros((1, 4)), (10, 50, 60)),  # 4 numbers on a 3D case
        (np.zeros((1, 6)), (50, 60)),  # and the reverse
        (np.zeros((2, 2, 4)), (50, 60)),
        (np.array([["a", "b", "c", "d"]]), (50, 60)),
        (np.zeros((1, 4), complex), (50, 60)),
        (np.zeros((65_536, 4)), (50, 60)),
    ],
)
def test_what_is_no_array_of_boxes_is_refused(raw: np.ndarray, shape: tuple[int, ...]) -> None:
    with pytest.raises(CaseReadError, match="^a: "):
        check_boxes("a", raw, shape)
