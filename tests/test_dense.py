"""Dense tissue of a mammogram: connected, brighter than what is around it, in the breast, neither a speck nor all."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from repmedsam_train.data.mammogram import (
    LARGEST_REGION,
    MOST_REGIONS,
    SLIMMEST_REGION,
    SMALLEST_REGION,
    dense_regions,
)
from tests.mammograms import SIDE, mammogram


@settings(max_examples=40)
@given(seed=st.integers(0, 2000))
def test_regions_are_connected_bright_parts_of_the_breast(seed: int) -> None:
    image = mammogram(seed)
    regions = dense_regions(image, np.random.default_rng(seed))
    assert 1 <= regions.max() <= MOST_REGIONS
    for label in range(1, int(regions.max()) + 1):
        region = np.asarray(regions == label, np.uint8)
        assert cv2.connectedComponents(region, connectivity=4)[0] == 2
        assert SMALLEST_REGION <= region.sum() <= LARGEST_REGION * region.size
        assert min(cv2.boundingRect(region)[2:]) >= SLIMMEST_REGION
        ring = (cv2.dilate(region, np.ones((3, 3), np.uint8)) > region) & (regions == 0)
        assert image[region > 0].mean() > image[ring].mean()
        assert image[region > 0].min() > 0


def test_a_bright_spot_is_found_whole() -> None:
    """Whatever the level between the spot and the rest: only what smoothing takes is missing."""
    breast = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (0, SIDE // 2), 100, 80, -1)
    spot = cv2.circle(np.zeros_like(breast), (50, 120), 20, 1, -1) > 0
    image = np.where(spot, 200, breast).astype(np.uint8)
    found = 0
    for seed in range(20):
        regions = dense_regions(np.repeat(image[..., None], 3, -1), np.random.default_rng(seed))
        if regions[120, 50]:
            region = regions == regions[120, 50]
            assert 2 * (region & spot).sum() / (region.sum() + spot.sum()) > 0.75
            found += 1
    assert found > 5


@pytest.mark.parametrize("level", [0, 5])
def test_a_dark_image_has_no_dense_tissue(level: int) -> None:
    assert not dense_regions(np.full((SIDE, SIDE), level, np.uint8), np.random.default_rng(0)).any()
