"""Boxes that are larger or smaller than their objects, by as much as was asked for, never outside of the image."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.errors import UsageError
from repmedsam_train.comparison.loose_boxes import loosen_cases, loosened
from tests.conftest import write_npz


def test_every_side_moves_by_that_share_of_the_box() -> None:
    boxes = np.array([[20, 40, 59, 49]])  # 40 x 10
    assert loosened(boxes, (100, 100), 0.1, 0).tolist() == [[16, 39, 63, 50]]
    assert loosened(boxes, (100, 100), -0.05, 0).tolist() == [[22, 40, 57, 49]]
    assert loosened(boxes, (100, 62), 0.1, 0).tolist() == [[16, 39, 61, 50]]


def test_in_volumes_z_has_slices_of_its_own() -> None:
    boxes = np.array([[20, 40, 1, 59, 49, 6]])
    assert loosened(boxes, (9, 100, 100), 0, 2).tolist() == [[20, 40, 0, 59, 49, 8]]
    assert loosened(boxes, (9, 100, 100), 0.1, 0).tolist() == [[16, 39, 1, 63, 50, 6]]


@given(
    corner=st.tuples(*[st.integers(0, 9)] * 3), size=st.tuples(*[st.integers(0, 9)] * 3),
    sides=st.floats(-0.4, 2), slices=st.integers(-3, 3), axes=st.sampled_from([2, 3]),
)  # fmt: skip
def test_a_box_stays_within_the_image_and_is_never_empty(
    corner: tuple[int, ...], size: tuple[int, ...], sides: float, slices: int, axes: int
) -> None:
    low = np.array(corner[:axes])
    box = np.concatenate([low, low + size[:axes]])[None]
    (loose,) = loosened(box, (20,) * axes, sides, slices)
    assert (loose[:axes] <= loose[axes:]).all()
    assert (loose >= 0).all()
    assert (loose < 20).all()
    if sides >= 0 and slices >= 0:
        assert (loose[:axes] <= box[0, :axes]).all()
        assert (loose[axes:] >= box[0, axes:]).all()


def test_cases_keep_all_else(tmp_path: Path) -> None:
    cases, out = tmp_path / "cases", tmp_path / "out"
    cases.mkdir()
    image, spacing = np.zeros((4, 30, 30), np.uint8), np.ones(3)
    write_npz(cases / "3DBox_CT_a_0.npz", imgs=image, boxes=np.array([[5, 5, 1, 14, 14, 2]]), spacing=spacing)
    assert loosen_cases(cases, out, 0.1, 1) == 1
    with np.load(out / "3DBox_CT_a_0.npz") as npz:
        assert npz["boxes"].tolist() == [[4, 4, 0, 15, 15, 3]]
        np.testing.assert_array_equal(npz["spacing"], spacing)
        assert npz["imgs"].shape == image.shape
    with pytest.raises(UsageError, match="another folder"):
        loosen_cases(cases, cases, 0.1, 1)
