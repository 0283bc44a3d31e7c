"""More to mark on a mammogram than what is marked: stretches of its skin and regions of its dense tissue, side by side.

Both on one image teach what no box says alone: which of them it is around.
"""

import numpy as np
from numpy.typing import NDArray

from repmedsam_train.dense import dense_regions
from repmedsam_train.skin import skin_band

U8 = NDArray[np.uint8]

BANDS = 2  # of skin, on one image


def findings(image: U8, rng: np.random.Generator, skin: float, dense: float) -> U8:
    """(H, W) or (H, W, 3) mammogram -> (H, W) labels of what was found to mark, 0 where nothing is.

    `skin` and `dense` are the probabilities of either being looked for. Neither touches another: skin comes first, and
    a region of dense tissue that it would cover is left out whole.
    """
    bands = np.zeros(image.shape[:2], np.uint8)
    if rng.random() < skin:
        for label in range(1, BANDS + 1):
            band = skin_band(image, rng) > 0
            if not bands[band].any():
                bands[band] = label
    if rng.random() >= dense:
        return bands
    regions = dense_regions(image, rng)
    regions[np.isin(regions, regions[bands > 0])] = 0
    return np.asarray(np.where(regions > 0, regions + BANDS, bands), np.uint8)
