"""Low-resolution logits to masks of the original size, and masks to labels.

`frame_logits` and `image_mask` are for logits over the whole frame, and do what the challenge's baseline does.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Segmentation
from repmedsam_infer.preprocess import Frame
from repmedsam_infer.window import interpolated

F32 = NDArray[np.float32]


def window_mask(low_res_logits: F32, window: F32, frame: Frame, rows: slice, columns: slice) -> NDArray[np.bool_]:
    """(4G, 4G) logits over a (4,) window of the frame -> mask of these rows and columns of the image.

    Each pixel takes the logit at its centre (bilinear), thresholded at 0.
    """
    left, top, right, bottom = (window / frame.scale).tolist()  # in image pixels
    side = low_res_logits.shape[0]
    x, y = np.arange(columns.start, columns.stop) + 0.5, np.arange(rows.start, rows.stop) + 0.5
    across = interpolated(low_res_logits.T, (x - left) / (right - left) * side)
    return interpolated(across.T, (y - top) / (bottom - top) * side) > 0


def frame_logits(low_res_logits: F32, frame: Frame) -> F32:
    """(4G, 4G) -> (new_height, new_width): upsampled to the frame where smaller (bilinear), padding cropped."""
    logits = low_res_logits
    if logits.shape[0] != frame.size:
        logits = np.asarray(cv2.resize(logits, (frame.size, frame.size), interpolation=cv2.INTER_LINEAR), np.float32)
    return logits[: frame.new_height, : frame.new_width]


def image_mask(logits: F32, frame: Frame) -> NDArray[np.bool_]:
    """(new_height, new_width) logits -> (H, W) mask: resized to the image (bilinear), thresholded at 0."""
    return cv2.resize(logits, (frame.width, frame.height), interpolation=cv2.INTER_LINEAR) > 0


def paint(segs: Segmentation, mask: NDArray[np.bool_], label: int) -> None:
    """Write `label` into (H, W) `segs` where `mask` is set."""
    segs[mask] = label
