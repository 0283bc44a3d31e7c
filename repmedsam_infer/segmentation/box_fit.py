"""Boxes as people draw them, loose or a little small: is another one better?

The decoder takes a box to fit: the object fills it from side to side. In a loose box it finds too much. So masks of
some smaller boxes, and of a slightly larger one, are decoded as well, and the one whose mask is estimated to have the
highest DSC is taken (engines/confidence.py). It costs up to six decodings of a box instead of one, and hardly anything
where the mask of the given box shows that the box fits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines.engine import Decoded, Engine
from repmedsam_infer.preprocess import View
from repmedsam_infer.segmentation.decode import decode
from repmedsam_infer.segmentation.features import mask_features

F32 = NDArray[np.float32]
# What each side of the given box is moved inwards by, in box sides. It is one of the candidates, the first.
INWARDS = (0.0, -0.05, 0.04, 0.08, 0.12, 0.16)
WORTH_TRYING = 0.005  # of DSC, that the mask of the given box lets expect of another: else the others are not decoded
BETTER = 0.03  # of DSC: by as much another box has to seem better to be taken; less costs tight boxes accuracy


@dataclass(frozen=True)
class FittedBoxes:
    """N boxes.

    corners: (N, 4) inclusive, in image pixels: the given ones, or others.
    logits: (N, 4G, 4G) of these on the view, offset added.
    confidence: (N,) estimated DSC; NaN where nothing estimates it, and then all boxes are the given ones.
    """

    corners: F32
    logits: F32
    confidence: F32


def fit_boxes(corners: F32, view: View, embedding: F32, engine: Engine) -> FittedBoxes:
    """Decode (N, 4) boxes in image pixels on a whole view, and others where those seem better."""
    model = engine.confidence
    if model is None or not engine.focus:
        boxes = view.place_boxes(corners)
        logits = decode(embedding, boxes, boxes, engine, engine.calibration.picture_offset).low_res_logits
        return FittedBoxes(corners, logits, np.full(len(corners), np.nan, np.float32))
    decoded, features = decode_with_features(corners, view, embedding, engine)
    estimated = model.first(features)
    confidence, logits = estimated[:, 0].copy(), decoded.low_res_logits
    doubtful = np.flatnonzero(estimated[:, 1:].max(1) > estimated[:, 0] + WORTH_TRYING)
    if not len(doubtful):
        return FittedBoxes(corners, logits, confidence)
    others = candidates(corners[doubtful], view)[1:]
    again, more = decode_with_features(others.reshape(-1, 4), view, embedding, engine)
    more = more.reshape(len(others), len(doubtful), -1)
    estimated = model.all(np.concatenate([features[doubtful], *more], axis=1))
    confidence[doubtful] = estimated[:, 0]
    best = estimated[:, 1:].argmax(1)
    best_dsc = estimated[np.arange(len(best)), best + 1]
    taken = np.flatnonzero(best_dsc > estimated[:, 0] + BETTER)
    fitted, of_others = corners.copy(), again.low_res_logits.reshape(len(others), len(doubtful), *logits.shape[1:])
    fitted[doubtful[taken]] = others[best[taken], taken]
    logits[doubtful[taken]] = of_others[best[taken], taken]
    confidence[doubtful[taken]] = best_dsc[taken]
    return FittedBoxes(fitted, logits, confidence)


def candidates(corners: F32, view: View) -> F32:
    """(N, 4) boxes in image pixels -> (K, N, 4), the given ones first; inside the view."""
    sides = np.tile(corners[:, 2:] - corners[:, :2] + 1, 2) * np.array([1, 1, -1, -1], np.float32)
    limit = np.array([view.width - 1, view.height - 1] * 2, np.float32)
    return np.stack([np.clip(corners + np.float32(share) * sides, 0, limit) for share in INWARDS])


def decode_with_features(corners: F32, view: View, embedding: F32, engine: Engine) -> tuple[Decoded, F32]:
    """Decode (N, 4) boxes in image pixels, each prompting for itself; with what the masks' DSC is estimated from."""
    boxes = view.place_boxes(corners)
    decoded = decode(embedding, boxes, boxes, engine, engine.calibration.picture_offset)
    return decoded, mask_features(decoded, boxes, rois_around(boxes))
