"""Several boxes on slices of one axis: kept as given, interpolated between, followed beyond the first and the last."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.errors import SetupError
from repmedsam_infer.interactive.box_mask import BoxMask
from repmedsam_infer.interactive.volume_masks import VolumeMasks
from repmedsam_infer.segmentation.follow import OnSlice, Start, decode_some
from repmedsam_infer.segmentation.open_ended import MOST_SLICES, follow_to_ends
from repmedsam_infer.system.stopwatch import Stopwatch

F32 = NDArray[np.float32]
Box = tuple[int, int, int, int, int, int]  # on the slices of a case, on one of them


def mask_of_boxes(boxes: Sequence[Box], masks: VolumeMasks, engine: Engine) -> BoxMask:
    """Return the mask of an object of two or more boxes, each on another slice.

    Raises:
        SetupError: the weights have nothing that finds where objects end.

    """
    if engine.confidence is None:
        raise SetupError("these weights cannot find where an object ends: give a box of several slices")
    in_order = sorted(boxes, key=lambda box: box[2])
    embeddings = masks.with_engine(engine, lambda _: None)
    view, depth = masks.view, masks.case.shape[0]
    corners = np.array(in_order, np.float32)
    prompts = view.place_boxes(corners[:, [0, 1, 3, 4]])
    slices = corners[:, 2].astype(int).tolist()
    whole = view.place_boxes(np.array([[0, 0, view.width - 1, view.height - 1]], np.float32))[0]
    starts = [
        Start(slices[0], max(0, slices[0] - MOST_SLICES), slices[0], prompts[0], whole),
        Start(slices[-1], slices[-1], min(depth - 1, slices[-1] + MOST_SLICES), prompts[-1], whole),
    ]
    presence = engine.confidence.presence
    followed = follow_to_ends(masks.case.imgs, starts, embeddings, engine, Stopwatch(), presence)
    between = [(0, z, prompt_at(z, slices, prompts)) for z in range(slices[0] + 1, slices[-1])]
    found = [one for _, one in decode_some(between, embeddings, engine, Stopwatch())] if between else []
    return joined([*followed[0].masks, *found, *followed[1].masks])


def prompt_at(z: int, slices: Sequence[int], prompts: F32) -> F32:
    """(4,) box on slice z: the given one, or between those of the slices before and behind it."""
    return np.array([np.interp(z, slices, prompts[:, side]) for side in range(4)], np.float32)


def joined(on_slices: Sequence[OnSlice]) -> BoxMask:
    """Return masks on slices as one of a volume."""
    first, last = min(one.z for one in on_slices), max(one.z for one in on_slices)
    top, bottom = min(one.rows.start for one in on_slices), max(one.rows.stop for one in on_slices)
    left, right = min(one.columns.start for one in on_slices), max(one.columns.stop for one in on_slices)
    mask = np.zeros((last - first + 1, bottom - top, right - left), bool)
    for one in on_slices:
        rows = slice(one.rows.start - top, one.rows.stop - top)
        columns = slice(one.columns.start - left, one.columns.stop - left)
        mask[one.z - first, rows, columns] |= one.mask
    where = slice(first, last + 1), slice(top, bottom), slice(left, right)
    corners = tuple(map(float, (left, top, first, right - 1, bottom - 1, last)))
    return BoxMask(where, mask, corners, float("nan"))
