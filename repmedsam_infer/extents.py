"""Where each label of a label map is, and how much of it there is, found without copies of a whole volume."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Extents:
    """The labels 1..N of a label map.

    low, high: (N, 2) y x or (N, 3) z y x int64, ends inclusive; a label that is not there has low > high.
    counts: (N,) int64 pixels or voxels.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    counts: NDArray[np.int64]

    def window(self, index: int) -> tuple[slice, ...]:
        """Where label index + 1 is, as an index into the label map; empty where it is not."""
        return tuple(slice(a, b + 1) for a, b in zip(self.low[index].tolist(), self.high[index].tolist(), strict=True))


def find_extents(segs: NDArray[np.integer], count: int | None = None) -> Extents:
    """Extents of the labels of an (H, W) or (D, H, W) map; higher labels than `count`, if it is given, do not count."""
    slices = segs[None] if segs.ndim == 2 else segs
    count = int(segs.max(initial=0)) if count is None else count
    low = np.full((count + 1, 3), max(slices.shape), np.int64)
    high = np.full((count + 1, 3), -1, np.int64)
    counts = np.zeros(count + 1, np.int64)
    width = slices.shape[2]
    for z, plane in enumerate(slices):
        flat = plane.ravel()
        where = np.flatnonzero(flat)
        if not len(where):
            continue
        labels = flat[where].astype(np.int64)
        if labels.max() > count:
            where, labels = where[labels <= count], labels[labels <= count]
        counts += np.bincount(labels, minlength=count + 1)
        present = np.unique(labels)
        low[present, 0] = np.minimum(low[present, 0], z)
        high[present, 0] = z
        for axis, position in ((1, where // width), (2, where % width)):
            np.minimum.at(low[:, axis], labels, position)
            np.maximum.at(high[:, axis], labels, position)
    first = 3 - segs.ndim
    return Extents(low[1:, first:], high[1:, first:], counts[1:])
