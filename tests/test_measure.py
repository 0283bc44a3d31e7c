"""Measures of solids whose size is known, and of random ones against every pair of their points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from repmedsam_infer.boxes import find_extents
from repmedsam_infer.evaluation.measure import Measure, measure_labels


def measure(mask: NDArray[np.bool_], spacing: tuple[float, ...] | None = None) -> Measure:
    (one,) = measure_labels(mask.astype(np.uint8), spacing)
    return one


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radii: tuple[float, ...]) -> NDArray[np.bool_]:
    axes = np.ogrid[tuple(slice(side) for side in shape)]
    return np.asarray(sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)) <= 1)


def test_a_row_is_as_long_as_it_has_pixels_and_a_single_one_1() -> None:
    mask = np.zeros((9, 30), bool)
    mask[4, 5:25] = True
    one = measure(mask)
    assert (one.count, one.size, one.diameter, one.slice_diameter) == (20, None, 20, 20)
    assert measure(mask.T, (0.5, 3.0)).diameter == 10
    assert measure(mask[4:5, 5:6]).diameter == 1


def test_a_sphere_in_cubes_and_in_slabs() -> None:
    sphere = measure(ball((70, 70, 70), (35, 34, 33), (30.5, 30.5, 30.5)))
    assert sphere.count == pytest.approx(4 / 3 * np.pi * 30.5**3, rel=0.005)
    assert sphere.diameter == pytest.approx(61, abs=1)
    assert abs(sphere.slice - 35) <= 1
    assert (sphere.first, sphere.last) == (5, 65)
    slabs = measure(ball((20, 80, 80), (10, 40, 40), (30 / 5, 30 / 0.9, 30 / 0.9)), (5.0, 0.9, 0.9))
    assert slabs.size is not None
    assert slabs.size == pytest.approx(4 / 3 * np.pi * 30**3, rel=0.03)
    assert slabs.slice_diameter == pytest.approx(60, abs=0.9)
    assert slabs.diameter == pytest.approx(60, abs=5)


def test_a_box_is_as_long_as_its_diagonal() -> None:
    mask = np.zeros((14, 40, 60), bool)
    mask[2:12, 5:35, 8:48] = True
    one = measure(mask, (4.0, 1.0, 1.0))
    assert one.size == 10 * 30 * 40 * 4
    assert one.slice_diameter == pytest.approx(np.hypot(30, 40), abs=1)
    assert one.diameter == pytest.approx(np.hypot(50, 40), abs=4)
    assert (one.first, one.last, one.slice) == (2, 11, 2)


def test_a_slanting_rod_is_longer_than_in_any_slice() -> None:
    mask = np.zeros((10, 30, 30), bool)
    for i in range(10):
        mask[i, 3 * i : 3 * i + 2, 3 * i : 3 * i + 2] = True
    one = measure(mask, (2.0, 1.0, 1.0))
    assert one.slice_diameter < 3
    assert one.diameter > np.linalg.norm([18, 27, 27])


def test_objects_in_pieces_and_labels_that_are_not_there() -> None:
    segs = np.zeros((20, 50), np.uint16)
    segs[3, 2], segs[3, 41] = 700, 700
    segs[10:12, 10:12] = 2
    small, far = measure_labels(segs, (1.0, 1.0))
    assert (small.label, small.size) == (2, 4)
    assert (far.label, far.count, far.diameter) == (700, 2, 40)
    assert list(measure_labels(np.zeros((3, 4), np.uint8), None)) == []


@given(
    arrays.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))),
    st.tuples(*[st.sampled_from([0.3, 1.0, 2.5])] * 3),
)
def test_no_two_points_are_farther_apart(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> None:
    if not mask.any():
        return
    sides = [s * np.eye(3)[axis] / 2 for axis in range(3) for s in (-1, 1)]
    points = [(p + side) * spacing for p in np.argwhere(mask) for side in sides]
    found = measure(mask, spacing)
    pairs = np.linalg.norm(np.array(points)[:, None] - np.array(points)[None], axis=2)
    assert found.diameter == pytest.approx(pairs.max())
    assert found.slice_diameter <= found.diameter + 1e-9


def test_extents_are_those_of_each_label() -> None:
    segs = np.zeros((4, 5, 6), np.uint8)
    segs[1:3, 2:4, 1:5], segs[0, 0, 0], segs[3, 4, 5] = 3, 1, 9
    extents = find_extents(segs, 3)
    assert extents.counts.tolist() == [1, 0, 16]
    assert extents.crop(2) == (slice(1, 3), slice(2, 4), slice(1, 5))
    assert not segs[extents.crop(1)].size
