"""Low-resolution logits to masks of the original size, masks to labels, and specks of labels away.

`frame_logits` and `image_mask` are for logits over the whole frame, and do what the challenge's baseline does.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Segmentation
from repmedsam_infer.decoder_roi import interpolated
from repmedsam_infer.preprocess import View

F32 = NDArray[np.float32]


def roi_logits(low_res_logits: F32, roi: F32, view: View, rows: slice, columns: slice) -> F32:
    """(4G, 4G) logits over a (4,) roi of a view's frame -> logits of these rows and columns of the image.

    Each pixel takes the logit at its centre (bilinear).
    """
    left, top, right, bottom = view.edges(roi)
    side = low_res_logits.shape[0]
    x, y = np.arange(columns.start, columns.stop) + 0.5, np.arange(rows.start, rows.stop) + 0.5
    across = interpolated(low_res_logits.T, (x - left) / (right - left) * side)
    return interpolated(across.T, (y - top) / (bottom - top) * side)


def roi_mask(low_res_logits: F32, roi: F32, view: View, rows: slice, columns: slice) -> NDArray[np.bool_]:
    """`roi_logits`, thresholded at 0."""
    return roi_logits(low_res_logits, roi, view, rows, columns) > 0


def frame_logits(low_res_logits: F32, view: View) -> F32:
    """(4G, 4G) -> (new_height, new_width): upsampled to the frame where smaller (bilinear), padding cropped."""
    logits = low_res_logits
    if logits.shape[0] != view.size:
        logits = np.asarray(cv2.resize(logits, (view.size, view.size), interpolation=cv2.INTER_LINEAR), np.float32)
    return logits[: view.new_height, : view.new_width]


def image_mask(logits: F32, view: View) -> NDArray[np.bool_]:
    """(new_height, new_width) logits -> (H, W) mask: resized to the image (bilinear), thresholded at 0."""
    return cv2.resize(logits, (view.width, view.height), interpolation=cv2.INTER_LINEAR) > 0


def paint(segs: Segmentation, mask: NDArray[np.bool_], label: int) -> None:
    """Write `label` into (H, W) `segs` where `mask` is set."""
    segs[mask] = label


def drop_small_parts(segs: Segmentation, label: int, smallest: float) -> None:
    """Set to 0 those parts of `label` in (D, H, W) `segs` that have less than `smallest` of its largest one's voxels.

    A slice that is segmented without its neighbours may contain something like the object where the object is not. A
    box marks one thing, so that what is apart from it and much smaller is taken for a mistake; large parts stay, as
    some objects are in two. Parts are 26-connected; with `smallest` 0 all stay. It takes 5 bytes a voxel at most, so
    `segs` should be the label's box alone.
    """
    if not smallest:
        return
    import cc3d

    parts, count = cc3d.connected_components(segs == label, connectivity=26, return_N=True)
    if count < 2:
        return
    sizes: NDArray[np.int64] = np.bincount(parts.ravel())
    sizes[0] = 0  # what is not the object
    small = (sizes > 0) & (sizes < smallest * sizes.max())
    if small.any():
        segs[small[parts]] = 0
