"""Low-resolution logits to masks of the original size (challenge baseline), and masks to labels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Segmentation
from repmedsam_infer.preprocess import Frame


def frame_logits(low_res_logits: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """(4G, 4G) -> (new_height, new_width): upsampled to the frame where smaller (bilinear), padding cropped."""
    logits = low_res_logits
    if logits.shape[0] != frame.size:
        logits = np.asarray(cv2.resize(logits, (frame.size, frame.size), interpolation=cv2.INTER_LINEAR), np.float32)
    return logits[: frame.new_height, : frame.new_width]


def image_mask(logits: NDArray[np.float32], frame: Frame) -> NDArray[np.bool_]:
    """(new_height, new_width) logits -> (H, W) mask: resized to the image (bilinear), thresholded at 0."""
    return cv2.resize(logits, (frame.width, frame.height), interpolation=cv2.INTER_LINEAR) > 0


def paint(segs: Segmentation, mask: NDArray[np.bool_], label: int) -> None:
    """Write `label` into (H, W) `segs` where `mask` is set. Later boxes lie over earlier ones, in whatever order they
    are painted: the larger label stays.
    """
    np.maximum(segs, segs.dtype.type(label), out=segs, where=mask)
