"""What comes of a case."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Segmentation


@dataclass(frozen=True)
class Segmented:
    """Labels of a case, and what is known of each of its K usable boxes, in the order of `case.boxes`.

    labels: (H, W) or (D, H, W) of all usable boxes, uint8 or uint16.
    confidence: (K,) float32, the DSC, 0 to 1, that each mask is estimated to have; NaN where the weights have nothing
        to estimate it with.
    corners: (K, 4) or (K, 6) boxes as they were used: open-ended ones with the ends that were found.
    warnings: what was odd, for the user.
    """

    labels: Segmentation
    confidence: NDArray[np.float32]
    corners: NDArray[np.float64]
    warnings: tuple[str, ...] = ()
