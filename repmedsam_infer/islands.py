"""Specks beside an object of a volume: drawn slice by slice, a mask may have parts that hang together with nothing.

A slice that does not know its neighbours finds something like the object where it is not. A box marks one thing, so
that what is apart from it and much smaller is taken for a mistake; large parts stay, as some things are in two.
"""

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Segmentation


def drop_islands(segs: Segmentation, label: int, smallest: float) -> None:
    """Set to 0 those parts of `label` in (D, H, W) `segs` that have less than `smallest` of its largest one's voxels.

    Parts are 26-connected; with `smallest` 0 all stay. It takes 5 bytes a voxel at most, so that `segs` had better be
    the label's box alone.
    """
    if not smallest:
        return
    import cc3d

    parts, count = cc3d.connected_components(segs == label, connectivity=26, return_N=True)
    if count < 2:
        return
    sizes: NDArray[np.int64] = np.bincount(parts.ravel())
    sizes[0] = 0  # what is not the object
    islands = (sizes > 0) & (sizes < smallest * sizes.max())
    if islands.any():
        segs[islands[parts]] = 0
