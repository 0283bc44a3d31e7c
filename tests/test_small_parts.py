"""In volumes, specks that lie apart from an object and are much smaller are no part of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from repmedsam_infer.postprocess import drop_small_parts

SMALLEST = 0.2


def test_a_speck_beside_an_object_goes_and_no_other_label_does() -> None:
    segs = np.zeros((6, 20, 20), np.uint8)
    segs[1:5, 2:10, 2:10] = 3
    segs[1, 15, 15] = 3
    segs[3, 18, 18] = 2
    segs[2, 3, 3] = 1  # painted over the object
    wanted = segs.copy()
    wanted[1, 15, 15] = 0
    drop_small_parts(segs, 3, SMALLEST)
    np.testing.assert_array_equal(segs, wanted)


@pytest.mark.parametrize(("width", "stays"), [(2, True), (1, False)])
def test_a_part_of_a_fifth_stays(width: int, stays: bool) -> None:
    segs = np.zeros((4, 20, 20), np.uint16)
    segs[:, 2:12, 2:12] = 300
    segs[:, 2:12, 15 : 15 + width] = 300
    drop_small_parts(segs, 300, SMALLEST)
    assert (segs[:, :, 15:] == 300).any() == stays
    assert (segs[:, 2:12, 2:12] == 300).all()


def test_what_touches_at_a_corner_hangs_together() -> None:
    segs = np.zeros((4, 20, 20), np.uint8)
    segs[:3, 2:12, 2:12] = 1
    segs[3, 12, 12] = 1
    drop_small_parts(segs, 1, SMALLEST)
    assert segs[3, 12, 12] == 1


@given(arrays(np.uint8, (4, 6, 7), elements=st.integers(0, 2)))
def test_it_only_takes_away_never_much_and_never_twice(segs: np.ndarray) -> None:
    once = segs.copy()
    drop_small_parts(once, 1, SMALLEST)
    changed = once != segs
    assert (segs[changed] == 1).all()
    assert (once[changed] == 0).all()
    if (segs == 1).any():
        assert (once == 1).any()
    twice = once.copy()
    drop_small_parts(twice, 1, SMALLEST)
    np.testing.assert_array_equal(twice, once)


def test_every_part_stays_where_nothing_was_fitted() -> None:
    segs = np.zeros((4, 20, 20), np.uint8)
    segs[:3, 2:12, 2:12] = 1
    segs[0, 18, 18] = 1
    drop_small_parts(segs, 1, 0)
    assert segs[0, 18, 18] == 1


def test_no_voxel_at_all_is_no_error() -> None:
    segs = np.zeros((2, 3, 4), np.uint8)
    drop_small_parts(segs, 1, SMALLEST)
    drop_small_parts(segs[:0], 1, SMALLEST)
    assert not segs.any()
