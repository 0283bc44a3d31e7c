"""The mask of one box, as it is worked out for any number of boxes at once: known by the box alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.segmentation.follow import OnSlice

Progress = Callable[[int, int, int], None]  # of a mark: its id, slices done, of how many (0: unknown)


@dataclass(frozen=True)
class BoxMask:
    """What a box gives.

    where: an index into an (H, W) or (D, H, W) label map; the mask is empty elsewhere.
    mask: of the shape of that.
    corners: (4,) or (6,) the box as it was used: of a followed one what its masks span.
    confidence: the DSC that the mask is estimated to have; NaN where nothing estimates it.
    on_the_way: of a followed box, its masks from slice to slice.
    warnings: for the user.
    """

    where: tuple[slice, ...]
    mask: NDArray[np.bool_]
    corners: tuple[float, ...]
    confidence: float
    on_the_way: tuple[OnSlice, ...] = ()
    warnings: tuple[str, ...] = ()
