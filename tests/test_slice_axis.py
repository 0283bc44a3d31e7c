"""Planes: every orientation shown as radiologists see it, voxels, boxes and labels turned there and back exactly."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.slice_axis import SliceOrder, slice_axis, slice_order_of
from tests.scans import SIGNED_PERMUTATIONS, affines

F64 = NDArray[np.float64]


def scan_of(affine: F64 | None, shape: tuple[int, ...] = (3, 4, 5)) -> Scan:
    """Of which every voxel is its own."""
    return Scan("scan", np.arange(np.prod(shape)).reshape(shape), len(shape) == 3, affine)


def affine_of(axes: F64, spacing: tuple[float, float, float] = (1, 1, 1)) -> F64:
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = 10, -20, 30
    return affine


def directions_of(scan: Scan, order: SliceOrder) -> F64:
    """(3, 3) unit vectors in LPS of growing slice, row and column."""
    assert scan.affine is not None
    steps = []
    for axis in range(3):
        index = np.zeros((2, 3), int)
        index[1, axis] = 1
        voxels = [int(order.slices(scan.voxels)[tuple(place)]) for place in index]
        xyz = [np.unravel_index(voxel, scan.voxels.shape)[::-1] for voxel in voxels]
        step = scan.affine[:3, :3] @ (np.array(xyz[1]) - np.array(xyz[0]))
        steps.append(step / np.linalg.norm(step))
    return np.array(steps)


@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS, ids=lambda axes: str(axes.astype(int).tolist()))
@pytest.mark.parametrize("thick", [None, 0, 1, 2])
def test_all_48_orientations_are_shown_as_radiologists_see_them(axes: F64, thick: int | None) -> None:
    spacing = tuple(5.0 if axis == thick else 1.0 for axis in range(3))
    scan = scan_of(affine_of(axes, spacing))  # type: ignore[arg-type]
    order = slice_order_of(scan)
    across, rows, columns = directions_of(scan, order)
    acquired = axes[:, 2 if thick is None else thick]
    assert abs(across @ acquired) == 1
    axial, coronal, sagittal = np.eye(3)[::-1]
    if abs(across @ axial):
        np.testing.assert_array_equal(rows, [0, 1, 0])
        np.testing.assert_array_equal(columns, [1, 0, 0])
    elif abs(across @ coronal):
        np.testing.assert_array_equal(rows, [0, 0, -1])
        np.testing.assert_array_equal(columns, [1, 0, 0])
    else:
        assert abs(across @ sagittal)
        np.testing.assert_array_equal(rows, [0, 0, -1])
        np.testing.assert_array_equal(columns, [0, 1, 0])
    assert across.sum() == 1  # to the head, back or left


@given(affine=affines(), data=st.data())
def test_labels_and_boxes_land_on_the_same_voxels(affine: F64, data: st.DataObject) -> None:
    scan = scan_of(affine)
    order = slice_order_of(scan)
    slices = order.slices(scan.voxels)
    np.testing.assert_array_equal(order.voxels(slices), scan.voxels)

    low = [data.draw(st.integers(0, side - 1)) for side in (5, 4, 3)]
    high = [data.draw(st.integers(start, side - 1)) for start, side in zip(low, (5, 4, 3), strict=True)]
    (turned,) = order.boxes(np.array([[*low, *high]], np.float64)).astype(int).tolist()
    of_box = scan.voxels[low[2] : high[2] + 1, low[1] : high[1] + 1, low[0] : high[0] + 1]
    np.testing.assert_array_equal(order.boxes_of_voxels(np.array([turned], np.float64)), [[*low, *high]])
    x0, y0, z0, x1, y1, z1 = turned
    inside = slices[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1]
    assert set(inside.ravel().tolist()) == set(of_box.ravel().tolist())

    labels = np.isin(slices, inside).astype(np.uint8)  # a mask that fills the box, in the network's frame
    np.testing.assert_array_equal(order.voxels(labels), np.isin(scan.voxels, of_box))
    spacing = order.spacing(scan.spacing)
    assert spacing is not None
    assert scan.spacing is not None
    assert sorted(spacing.tolist()) == sorted(scan.spacing.tolist())


@given(affine=affines(most_tilt=0.3))
def test_oblique_scans_are_shown_nearly_upright(affine: F64) -> None:
    scan = scan_of(affine)
    _, rows, columns = directions_of(scan, slice_order_of(scan))
    assert rows @ [0, 1, 0] > 0.6 or rows @ [0, 0, -1] > 0.6
    assert columns @ [1, 0, 0] > 0.6 or columns @ [0, 1, 0] > 0.6


def test_boxes_keep_their_fractions() -> None:
    order = SliceOrder((2, 0, 1), (True, False, True), (3, 4, 5))
    box = np.array([[0.5, 1.25, 1, 3, 2, 2]])
    np.testing.assert_allclose(order.boxes(box), [[1, 1, 1, 1.75, 2, 3.5]])
    np.testing.assert_allclose(order.boxes_of_voxels(order.boxes(box)), box)


def test_slices_lie_across_the_axis_of_largest_spacing() -> None:
    for spacing, shape, axis in [
        ((1, 1, 1), (3, 4, 5), 2),
        ((1, 3, 1), (3, 4, 5), 1),
        ((3, 1, 1), (3, 4, 5), 0),
        ((1.4, 1, 1), (3, 4, 5), 2),
        ((3, 3, 1), (3, 4, 5), 2),
        ((1, 1, 1), (3, 4, 1), 0),
        ((1, 5, 1), (1, 4, 5), 2),
    ]:
        assert slice_axis(scan_of(affine_of(np.eye(3), spacing), shape)) == axis, (spacing, shape)


def test_an_axis_that_the_format_fixes_stays() -> None:
    scan = replace(scan_of(affine_of(np.eye(3), (5, 1, 1))), slice_axis=2)
    assert slice_axis(scan) == 2
    assert slice_order_of(scan) == SliceOrder((0, 1, 2), (False,) * 3, (3, 4, 5))


def test_what_lies_nowhere_is_shown_as_it_is_stored() -> None:
    picture = Scan("picture", np.arange(24).reshape(2, 4, 3), is_volume=False)
    order = slice_order_of(picture)
    np.testing.assert_array_equal(order.slices(picture.voxels), picture.voxels)
    np.testing.assert_array_equal(order.boxes(np.array([[0.0, 1, 2, 3]])), [[0, 1, 2, 3]])
    assert order.spacing(picture.spacing) is None
    film = scan_of(None)
    np.testing.assert_array_equal(slice_order_of(film).voxels(slice_order_of(film).slices(film.voxels)), film.voxels)


def test_colours_stay_last() -> None:
    scan = replace(scan_of(affine_of(-np.eye(3)[[1, 2, 0]])), voxels=np.arange(180).reshape(3, 4, 5, 3))
    slices = slice_order_of(scan).slices(scan.voxels)
    assert slices.shape[-1] == 3
    np.testing.assert_array_equal(np.diff(slices, axis=-1), 1)
    np.testing.assert_array_equal(slice_order_of(scan).voxels(slices), scan.voxels)
