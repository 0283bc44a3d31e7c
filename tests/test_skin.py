"""Stretches of a mammogram's skin: along the outline, thin, in one piece each, never where the breast is cut off."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("torch")

from repmedsam_train.data.mammogram import MOST_BANDS, SMALLEST_BAND, THICKNESS, skin_bands

SIDE = 300


def mammogram(centre: int, radius: int) -> NDArray[np.uint8]:
    """Half a disc at the left side, in the middle of the height."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(image, (0, centre), radius, 120, -1)
    return image


@given(seed=st.integers(0, 2000), centre=st.integers(110, 190), radius=st.integers(70, 140))
def test_skin_is_a_thin_band_along_the_outline(seed: int, centre: int, radius: int) -> None:
    image = mammogram(centre, radius)
    bands = skin_bands(image, np.random.default_rng(seed))
    assume(bands.any())
    assert bands.max() <= MOST_BANDS
    for label in np.unique(bands)[1:]:
        ys, xs = np.nonzero(bands == label)
        depth = radius - np.hypot(ys - centre, xs)
        assert len(ys) >= SMALLEST_BAND
        assert cv2.connectedComponents(np.asarray(bands == label, np.uint8))[0] == 2
        assert depth.min() > -3
        assert depth.max() < SIDE * THICKNESS[1] + 3


def test_where_a_breast_is_cut_off_there_is_no_skin() -> None:
    """Neither at the image's side nor at a black margin beside it."""
    for margin in (0, 40):
        image = np.roll(mammogram(150, 120), margin, 1)
        bands = [skin_bands(image, np.random.default_rng(seed)) for seed in range(60)]
        found = np.max(bands, 0)
        assert found[150, margin + 112 : margin + 121].any()  # the tip, opposite
        assert not found[60:240, margin : margin + 20].any()


@pytest.mark.parametrize("level", [0, 200])
def test_without_breast_or_ground_there_is_no_skin(level: int) -> None:
    image = np.full((SIDE, SIDE, 3), level, np.uint8)
    assert not any(skin_bands(image, np.random.default_rng(seed)).any() for seed in range(5))
