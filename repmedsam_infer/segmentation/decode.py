"""One box on one view: its logits over its ROI, and what they mean at the image's pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.decoder_roi import rois_around, whole_frame
from repmedsam_infer.engines.engine import Decoded, Engine
from repmedsam_infer.postprocess import frame_logits, image_mask, roi_logits
from repmedsam_infer.preprocess import CLOSE_WEIGHT, View

F32 = NDArray[np.float32]
PIXELS_AT_ONCE = 1 << 22  # of a large object's mask: logits take 4 bytes a view


@dataclass(frozen=True)
class Decoding:
    """What the decoder makes of one box on one view: its clip box in the view's frame, (4,), and (4G, 4G) logits."""

    view: View
    clip_box: F32
    logits: F32


def decode(embedding: F32, prompts: F32, clip_boxes: F32, engine: Engine, offset: float = 0.0) -> Decoded:
    """Logits, with `offset` added, and predicted IoU of N boxes, over the ROI of each clip box.

    prompts (N, 4) are the boxes that the network is given, clip_boxes (N, 4) those that masks do not leave; in frame
    pixels.
    """
    rois = rois_around(clip_boxes) if engine.focus else whole_frame(len(clip_boxes))
    logits, iou = engine.decode(embedding, prompts, rois)
    if offset:
        logits += offset  # in place: what engines give is the caller's
    return Decoded(logits, iou)


def object_mask(decodings: Sequence[Decoding], *, focus: bool) -> tuple[slice, slice, NDArray[np.bool_]]:
    """Rows and columns of a clip box in the image, and the mask on them: where the mean of its logits is positive.

    decodings: of the object, that on the whole view first. Those that show the same rectangle count alike, and close
    views CLOSE_WEIGHT of all.
    """
    whole = decodings[0]
    rows, columns = whole.view.pixels(whole.clip_box)
    if not focus:
        return rows, columns, image_mask(frame_logits(whole.logits, whole.view), whole.view)[rows, columns]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    mask = np.empty((height, width), np.bool_)
    at_once = max(1, PIXELS_AT_ONCE // max(width, 1))
    for first in range(rows.start, rows.stop, at_once):
        band = slice(first, min(first + at_once, rows.stop))
        mask[first - rows.start : band.stop - rows.start] = mean_logits(decodings, band, columns) > 0
    return rows, columns, mask


def mean_logits(decodings: Sequence[Decoding], rows: slice, columns: slice) -> F32:
    """Return the mean of an object's logits, weighted as in `object_mask`, at these rows and columns of the image."""
    whole = decodings[0].view
    of_whole: list[F32] = []
    of_close: list[F32] = []
    for one in decodings:
        logits = roi_logits(one.logits, rois_around(one.clip_box[None])[0], one.view, rows, columns)
        (of_whole if replace(one.view, mirrored=False) == whole else of_close).append(logits)
    logits = mean_of(of_whole)
    if of_close:
        logits = np.float32(1 - CLOSE_WEIGHT) * logits + np.float32(CLOSE_WEIGHT) * mean_of(of_close)
    return logits


def mean_of(logits: Sequence[F32]) -> F32:
    """Mean of arrays of one shape; the array itself where there is one."""
    return logits[0] if len(logits) == 1 else np.asarray(np.mean(logits, axis=0), np.float32)
