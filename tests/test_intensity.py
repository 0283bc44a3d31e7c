"""Grey levels: windows to the unit, percentiles as MedSAM's, pictures untouched; what shows nothing is warned of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats import intensity
from repmedsam_infer.formats.intensity import WINDOWS, parse_window, to_grey
from repmedsam_infer.formats.scan import Scan


def scan_of(voxels: object, modality: str = "", window: tuple[float, float] | None = None) -> Scan:
    array = np.asarray(voxels)
    return Scan("scan", array, array.ndim == 3, modality=modality, window=window)


def hounsfield() -> NDArray[np.int16]:
    return np.linspace(-1024, 3071, 4 * 5 * 6).astype(np.int16).reshape(4, 5, 6)


def medsam(voxels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """As in MedSAM's pre_CT_MR.py."""
    low, high = np.percentile(voxels[voxels > 0], 0.5), np.percentile(voxels[voxels > 0], 99.5)
    clipped = np.clip(voxels, low, high)
    clipped = (clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0
    clipped[voxels == 0] = 0
    return np.uint8(clipped)  # type: ignore[return-value]


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_reach_from_0_to_255(name: str) -> None:
    level, width = WINDOWS[name]
    low, high = level - width / 2, level + width / 2
    voxels = np.array([[[low - 500, low, level, high, high + 500]]])
    assert to_grey(scan_of(voxels, "CT"), parse_window(name))[0].ravel().tolist() == [0, 0, 127, 255, 255]
    assert to_grey(scan_of(voxels, "CT"), parse_window(f"{level}, {width}"))[0].ravel().tolist() == [
        0,
        0,
        127,
        255,
        255,
    ]


def test_windows_are_spelled_in_several_ways_or_refused() -> None:
    assert parse_window("Soft Tissue") == "soft-tissue"
    assert parse_window("-600,1500") == (-600, 1500)
    for wrong in ("liver", "40", "40,0", "40,-3", "nan,4", "1,2,3", ""):
        with pytest.raises(UsageError, match="LEVEL,WIDTH"):
            parse_window(wrong)


def test_ct_takes_the_files_window_else_soft_tissue_with_a_warning() -> None:
    proposed, silent = to_grey(scan_of(hounsfield(), "CT", (-600, 1500)))
    np.testing.assert_array_equal(proposed, to_grey(scan_of(hounsfield(), "CT"), "lung")[0])
    assert not silent
    default, warnings = to_grey(scan_of(hounsfield(), "CT"))
    np.testing.assert_array_equal(default, to_grey(scan_of(hounsfield()), (40.0, 400.0))[0])
    assert "soft-tissue" in warnings[0]


def test_values_like_those_of_ct_are_windowed_with_a_warning() -> None:
    grey, warnings = to_grey(scan_of(hounsfield()))
    np.testing.assert_array_equal(grey, to_grey(scan_of(hounsfield(), "CT"))[0])
    assert "look like a CT's" in warnings[0]
    assert "-1024 to 3071" in warnings[0]
    assert not to_grey(scan_of(hounsfield(), "MR"))[1]
    assert not to_grey(scan_of(hounsfield()), "percentiles")[1]


@given(seed=st.integers(0, 2**32 - 1), background=st.booleans())
def test_percentiles_are_medsams(seed: int, background: bool) -> None:
    voxels = np.random.default_rng(seed).gamma(2, 300, (4, 10, 11))
    if background:
        voxels[:, :4] = 0
    grey, _ = to_grey(scan_of(voxels, "MR"))
    expected = medsam(voxels)
    assert np.abs(grey.astype(int) - expected).max() <= 1  # theirs rounds down after another order of operations
    assert (grey[voxels == 0] == 0).all()


def test_values_below_0_are_no_background() -> None:
    voxels = np.random.default_rng(0).normal(0, 1, (4, 10, 11))
    voxels[0, 0, 0] = 0
    assert 100 < to_grey(scan_of(voxels, "MR"))[0][0, 0, 0] < 155


def test_pictures_of_8_bits_are_untouched_others_are_scaled() -> None:
    picture = np.arange(30, dtype=np.uint8).reshape(5, 6)
    assert to_grey(scan_of(picture))[0] is picture
    deep = np.arange(3000, dtype=np.uint16).reshape(50, 60) * 20
    grey, warnings = to_grey(scan_of(deep))
    assert (grey.min(), grey.max()) == (0, 255)
    assert "8 bits" in warnings[0]
    colours = np.random.default_rng(0).integers(0, 60000, (5, 6, 3), np.uint16)
    assert to_grey(Scan("c", colours, is_volume=False))[0].shape == (5, 6, 3)


@pytest.mark.parametrize("window", [None, "percentiles", (0.5, 4.0)])
def test_nan_and_infinity_are_taken_for_the_smallest_value_and_counted(
    window: tuple[float, float] | str | None,
) -> None:
    finite = np.random.default_rng(0).gamma(2, 300, (4, 10, 11)).astype(np.float32)
    odd = finite.copy()
    odd[0, 0, :3] = np.nan, np.inf, -np.inf
    grey, warnings = to_grey(scan_of(odd, "MR"), window)
    assert "3 of its 440 values are NaN or infinite" in warnings[0]
    finite[0, 0, :3] = finite[np.isfinite(odd)].min()
    expected = to_grey(scan_of(finite, "MR"), window)[0]
    assert np.abs(grey.astype(int) - expected).max() <= 1  # percentiles are of what is finite
    assert set(grey[0, 0, :3].tolist()) == {grey[odd == odd[np.isfinite(odd)].min()].min()}
    assert np.isnan(odd[0, 0, 0])  # the scan itself stays as it was


def test_nothing_but_nan_is_refused() -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(CaseReadError, match="all of its values are NaN or infinite"):
            to_grey(scan_of(np.full((2, 3, 4), value, np.float32), "MR"))


def test_a_part_of_a_ct_without_bone_is_suspected_in_a_warning() -> None:
    part = hounsfield().clip(-160, 240)
    grey, warnings = to_grey(scan_of(part))
    np.testing.assert_array_equal(grey, to_grey(scan_of(part), "percentiles")[0])
    assert "may be Hounsfield units of a part of a CT" in warnings[0]
    assert "--modality CT" in warnings[0]
    assert not any("Hounsfield" in warning for warning in to_grey(scan_of(part, "MR"))[1])
    for other in (part + 0.5, np.abs(part), part * 100, part.astype(np.uint16)):
        assert not any("may be" in warning for warning in to_grey(scan_of(other))[1])


@given(
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=4).map(tuple),
    most=st.integers(1, 40),
    kind=st.sampled_from("fi"),
)
def test_grey_levels_do_not_depend_on_the_pieces_that_they_are_worked_out_in(
    shape: tuple[int, ...], most: int, kind: str
) -> None:
    voxels = np.random.default_rng(0).normal(0, 500, shape).astype(np.float32 if kind == "f" else np.int16)
    scan = Scan("scan", voxels, is_volume=len(shape) > 2, modality="MR")
    whole = to_grey(scan)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intensity, "PIECE", most)
        np.testing.assert_array_equal(to_grey(scan)[0], whole)


def test_a_window_that_shows_nothing_is_a_warning() -> None:
    for values, side in [((1000, 2000), "below"), ((-3000, -2000), "above")]:
        window = (3000.0, 10.0) if side == "below" else (-5000.0, 10.0)
        grey, warnings = to_grey(scan_of([[list(values)]], "CT"), window)
        assert grey.min() == grey.max()
        assert side in warnings[0]
        assert f"{values[0]} to {values[1]}" in warnings[0]


def test_constant_images_become_constant() -> None:
    for value in (0, 7, -5):
        for modality in ("MR", ""):
            grey, _ = to_grey(scan_of(np.full((2, 3, 4), value, np.int16), modality))
            assert grey.min() == grey.max()


def test_ct_windows_by_name_are_for_ct() -> None:
    with pytest.raises(CaseReadError, match="modality MR"):
        to_grey(scan_of(hounsfield(), "MR"), "lung")
    assert to_grey(scan_of(hounsfield(), "MR"), (100.0, 200.0))[0].max() == 255
