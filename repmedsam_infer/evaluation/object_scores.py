"""DSC and NSD of every object of a case, one by one: what evaluate takes the mean of."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import find_extents
from repmedsam_infer.evaluation.metrics import Mask, dsc, nsd


class ObjectScore(NamedTuple):
    """Scores of one label; 0 where it is in one of ground truth and segmentation alone."""

    dsc: float
    nsd: float


def score_objects(
    gt: NDArray[np.integer],
    seg: NDArray[np.integer],
    spacing: tuple[float, ...],
    nsd_of: Callable[[Mask, Mask], float] | None = None,
) -> dict[int, ObjectScore]:
    """By label, those of 1..max of the ground truth that are in it or in the segmentation, each (H, W) or (D, H, W).

    spacing: mm along each axis. nsd_of: another NSD than that of this spacing.
    """
    truth = find_extents(gt)
    found = find_extents(seg, len(truth.counts))
    scores = {}
    for i in np.flatnonzero(truth.counts + found.counts).tolist():
        low, high = np.minimum(truth.low[i], found.low[i]), np.maximum(truth.high[i], found.high[i])
        crop = tuple(slice(a, b + 1) for a, b in zip(low.tolist(), high.tolist(), strict=True))
        one, other = gt[crop] == i + 1, seg[crop] == i + 1
        scores[i + 1] = ObjectScore(dsc(one, other), nsd_of(one, other) if nsd_of else nsd(one, other, spacing))
    return scores
