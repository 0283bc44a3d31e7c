"""More to mark on a mammogram than what is marked: stretches of its skin and regions of its dense tissue, side by side.

Both on one image teach what no box says alone: which of them it is around.
"""

import numpy as np
from numpy.typing import NDArray

from repmedsam_train.data.dense import dense_regions
from repmedsam_train.data.skin import MOST as MOST_BANDS
from repmedsam_train.data.skin import skin_bands

U8 = NDArray[np.uint8]


def findings(image: U8, rng: np.random.Generator, skin: float, dense: float) -> U8:
    """(H, W) or (H, W, 3) mammogram -> (H, W) labels of what was found to mark, 0 where nothing is.

    `skin` and `dense` are the probabilities of either being looked for. A region of dense tissue that skin would cover
    is left out whole.
    """
    bands = skin_bands(image, rng) if rng.random() < skin else np.zeros(image.shape[:2], np.uint8)
    if rng.random() >= dense:
        return bands
    regions = dense_regions(image, rng)
    regions[np.isin(regions, regions[bands > 0])] = 0
    return np.asarray(np.where(regions > 0, regions + MOST_BANDS, bands), np.uint8)
