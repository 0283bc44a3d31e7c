"""How large objects are in pixels of the 256 x 256 frame, and how each size scores."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import Extents
from repmedsam_infer.preprocess import FRAME_SIZE, View

SIZES = (8, 16, 32, 64)  # borders between groups of objects, in frame pixels


@dataclass(frozen=True)
class SizedScore:
    """DSC and NSD of one object, its label, and the square root of its box's area in the frame (in a volume, of the
    x-y box).
    """

    label: int
    size: float
    dsc: float
    nsd: float


def frame_sizes(extents: Extents, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(N,) sizes of the labels of an (H, W) or (D, H, W) map; 0 of those that are not there."""
    sides = np.maximum(extents.high[:, -2:] - extents.low[:, -2:] + 1, 0)
    return np.sqrt(sides.prod(axis=1)) * View(*shape[-2:]).scale


def size_table(objects: Iterable[SizedScore]) -> list[dict[str, str]]:
    """Return a row a size: how many objects of the ground truth, and the means of their DSC and NSD."""
    there = [one for one in objects if one.size > 0]
    rows = []
    for low, high in zip((0, *SIZES), (*SIZES, FRAME_SIZE + 1), strict=True):
        group = [one for one in there if low <= one.size < high]
        if group:
            dsc, nsd = np.mean([(one.dsc, one.nsd) for one in group], 0).tolist()
            name = f"{low} to {min(high, FRAME_SIZE)} pixels"
            rows.append({"size": name, "objects": str(len(group)), "DSC": f"{dsc:.4f}", "NSD": f"{nsd:.4f}"})
    return rows
