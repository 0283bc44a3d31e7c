"""What can be seen of a mask without the truth: numbers from which its DSC is estimated (engines/confidence.py).

A mask that fits its box touches all four sides, in a few places; where the box is loose there are gaps, where it is
small the mask runs along its sides and the logits outside of it are high. Where the network is unsure, many logits are
near 0.
"""

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.engine import Decoded

F32 = NDArray[np.float32]
SHALLOW, DEEP = 2, 3  # rows of the decoder's grid inside and outside a side of the box
AT_ONCE = 32  # objects: their arrays stay in the processor's cache

FEATURES = (
    "predicted_iou",
    "expected_dsc",  # of the mask, if each pixel's probability is true
    "fill",  # the mask's share of the box
    "certainty",  # how far probabilities are from 0.5, on average: 0 to 1
    *(f"gap_{i}" for i in range(4)),  # between mask and side, in sides; from the smallest to the largest, as below
    *(f"inside_mean_{i}" for i in range(4)),  # probabilities along the inside of a side
    *(f"inside_most_{i}" for i in range(4)),
    *(f"outside_most_{i}" for i in range(4)),  # along its outside
    "outside",  # the mean probability outside the box
    "steepness",  # log of how much logits change at the mask's border
    "longer_side",  # log of the box's sides in frame pixels
    "shorter_side",
)


def mask_features(decoded: Decoded, boxes: F32, rois: F32) -> F32:
    """(N, len(FEATURES)) of the logits of N objects, with offset, and their boxes and rois, (N, 4) in frame pixels."""
    if not len(boxes):
        return np.zeros((0, len(FEATURES)), np.float32)
    parts = [slice(start, start + AT_ONCE) for start in range(0, len(boxes), AT_ONCE)]
    return np.concatenate(
        [some_features(decoded.low_res_logits[p], decoded.iou[p], boxes[p], rois[p]) for p in parts]
    ).astype(np.float32)


def some_features(logits: F32, iou: F32, boxes: F32, rois: F32) -> F32:
    count, side, _ = logits.shape
    p = probabilities(logits)
    inside_x, inside_y = (inside(boxes[:, [i, i + 2]], rois[:, [i, i + 2]], side) for i in (0, 1))
    in_box = inside_y[:, :, None] & inside_x[:, None, :]
    within = p * in_box
    mask = within > 0.5
    cells, area, total = (x.sum((1, 2), dtype=np.float32) for x in (in_box, mask, within))
    sure = (within * mask).sum((1, 2))
    outside = (p.sum((1, 2)) - total) / np.maximum(side * side - cells, 1)
    gaps, means, inner, outer = [], [], [], []
    for along_x in (False, True):
        ends, across = (inside_x, inside_y) if along_x else (inside_y, inside_x)
        lines = p.transpose(0, 2, 1) if along_x else p  # (N, lines parallel to the side, cells along it)
        length = np.maximum(across.sum(1), 1)
        set_lines = np.any(mask, axis=1 if along_x else 2)
        for far in (False, True):
            first = side - 1 - ends[:, ::-1].argmax(1) if far else ends.argmax(1)
            touched = side - 1 - set_lines[:, ::-1].argmax(1) if far else set_lines.argmax(1)
            step = -1 if far else 1
            gap = np.abs(touched - first) / np.maximum(ends.sum(1), 1)
            gaps.append(np.where(set_lines.any(1), gap, 0.5))
            shallow = np.stack([lines[np.arange(count), first + step * i] * across for i in range(SHALLOW)], 1)
            means.append(shallow.sum((1, 2)) / (SHALLOW * length))
            inner.append(shallow.max((1, 2)))
            beyond = np.clip(np.stack([first - step * i for i in range(1, DEEP + 1)], 1), 0, side - 1)
            outer.append((lines[np.arange(count)[:, None], beyond] * across[:, None]).max((1, 2)))
    longer = np.log(np.maximum(boxes[:, 2:] - boxes[:, :2] + 1, 1))
    columns = [
        iou,
        2 * sure / np.maximum(total + area, 1e-6),
        area / np.maximum(cells, 1),
        2 * (np.abs(p - 0.5) * in_box).sum((1, 2)) / np.maximum(cells, 1),
        *(sorted_columns for kind in (gaps, means, inner, outer) for sorted_columns in np.sort(kind, axis=0)),
        outside,
        np.log1p(border_steepness(logits, mask)),
        longer.max(1),
        longer.min(1),
    ]
    return np.stack(columns, 1)


def probabilities(logits: F32) -> F32:
    p = -logits.clip(-30, 30)
    np.exp(p, out=p)
    p += 1
    return np.reciprocal(p, out=p)


def volume_features(slices: F32) -> F32:
    """(len(FEATURES) + 3,) of a volume's object, of the (D, len(FEATURES)) of its slices.

    Their mean, slices counting by the size of their masks; the log of their number, the share of slices whose mask is
    empty, and how much sizes vary.
    """
    sizes = slices[:, FEATURES.index("fill")]
    counted = sizes + 1e-3
    mean = (slices * counted[:, None]).sum(0) / counted.sum()
    spread = sizes.std() / (sizes.mean() + 1e-3)
    return np.append(mean, [np.log(len(slices)), (sizes == 0).mean(), spread]).astype(np.float32)


def inside(ends: F32, roi_ends: F32, count: int) -> NDArray[np.bool_]:
    """(N, count) whether the middle of a cell of (N, 2) rois is between inclusive (N, 2) ends of boxes; one is."""
    low, high = roi_ends[:, :1], roi_ends[:, 1:]
    centres = low + (high - low) * ((np.arange(count, dtype=np.float32) + 0.5) / count)
    found = (centres >= ends[:, :1]) & (centres < ends[:, 1:] + 1)
    nearest = np.abs(centres - ends.mean(1, keepdims=True) - 0.5).argmin(1)
    found[np.arange(len(found)), nearest] = True
    return np.asarray(found, np.bool_)


def border_steepness(logits: F32, mask: NDArray[np.bool_]) -> F32:
    """(N,) mean change of (N, S, S) logits a cell, at the cells of the masks that have a neighbour outside."""
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    whole = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    objects, *at = np.nonzero(mask & ~whole)  # few of all cells
    total = np.zeros(len(objects), np.float32)
    for axis, places in enumerate(at):
        before, after = np.maximum(places - 1, 0), np.minimum(places + 1, mask.shape[axis + 1] - 1)
        ends = [(objects, *at[:axis], end, *at[axis + 1 :]) for end in (before, after)]
        total += np.square((logits[ends[1]] - logits[ends[0]]) / (after - before).astype(np.float32))
    counts, sums = (np.bincount(objects, weights, len(mask)) for weights in (None, np.sqrt(total)))
    return (sums / np.maximum(counts, 1)).astype(np.float32)
