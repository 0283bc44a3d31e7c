"""Which object a pixel goes to where masks overlap: the one of the smaller box, of equal boxes the later one.

The challenge leaves it open, and its baseline lets later boxes lie over earlier ones: an accident of numbering, which
hides the cup of an optic disc, or the core of a tumour, behind the larger mask around it. What has a box of its own
inside another's is almost always a part of it, or lies in front of it (docs/experiments.md has figures). Training knows
the rule, too: what a smaller box's object covers is no error of the larger one's mask.
"""

import numpy as np
from numpy.typing import NDArray


def bottom_to_top(boxes: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.intp]:
    """(N,) indices of (N, 4) or (N, 6) inclusive boxes in the order in which to paint them."""
    return np.argsort(-sizes_of(boxes), kind="stable")


def sizes_of(boxes: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
    """(N,) pixels or voxels in boxes."""
    axes = boxes.shape[1] // 2
    return np.prod(np.maximum(boxes[:, axes:] - boxes[:, :axes] + 1.0, 0), axis=1)
