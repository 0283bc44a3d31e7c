"""How good masks can get at all when they pass through logits of so many pixels a side: what a grid costs.

The ground truth takes the place of the network: its signed distance, sampled at the logits' places, goes the way that
every prediction goes (resampled, cropped, thresholded), and is scored against the ground truth it came from. Logits
cover either the whole frame, as in the published network, or an ROI around the object's box, as with `focus`.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import find_extents, tight_boxes
from repmedsam_infer.decoder_roi import resampling, rois_around
from repmedsam_infer.evaluation.evaluate import read_ground_truth
from repmedsam_infer.evaluation.metrics import dsc, nsd
from repmedsam_infer.evaluation.object_sizes import SIZES, frame_sizes
from repmedsam_infer.io.case_files import find_cases, modality_of
from repmedsam_infer.postprocess import frame_logits, image_mask, roi_mask
from repmedsam_infer.preprocess import FRAME_SIZE, View

# Logits' sides are four times the decoder's grid.
WAYS = (("frame", 64), ("frame", 128), ("frame", 256), ("roi", 64), ("roi", 128))


@dataclass(frozen=True)
class ObjectCeiling:
    """One object: the square root of its box's area in the frame, and DSC and NSD for each of WAYS."""

    case: str
    modality: str
    size: float
    scores: dict[tuple[str, int], tuple[float, float]]


def ceilings(folder: Path) -> Iterator[ObjectCeiling]:
    """Every object of every case in `folder`.

    Raises:
        UsageError: there are no cases.
        CaseReadError: a ground truth cannot be read.

    """
    for path in find_cases(folder):
        gts, spacing = read_ground_truth(path)
        view = View(*gts.shape[-2:])
        axes, sizes = gts.ndim, frame_sizes(find_extents(gts), gts.shape)
        for label, box in enumerate(tight_boxes(gts), 1):
            if box[-1] < 0:
                continue
            gt = gts == label
            clip_box = view.place_boxes(box[None, [0, 1, axes, axes + 1]].astype(np.float32))
            scores = {}
            for cover, side in WAYS:
                roi = rois_around(clip_box)[0] if cover == "roi" else None
                seg = through_logits(gt, view, side, roi)
                scores[cover, side] = (dsc(gt, seg), nsd(gt, seg, spacing))
            yield ObjectCeiling(path.name, modality_of(path.name), float(sizes[label - 1]), scores)


def through_logits(
    gt: NDArray[np.bool_], view: View, side: int, roi: NDArray[np.float32] | None = None
) -> NDArray[np.bool_]:
    """(H, W) or (D, H, W) mask as it would come out of side x side logits over an ROI, or over the whole frame."""
    if gt.ndim == 3:
        return np.stack([through_logits(one, view, side, roi) if one.any() else one for one in gt])
    distance = signed_distance(gt)
    if roi is not None:
        left, top, right, bottom = (roi / view.scale).tolist()
        cells = (np.arange(side) + 0.5) / side
        down = resampling(top + (bottom - top) * cells, view.height)
        across = resampling(left + (right - left) * cells, view.width)
        logits = np.asarray(down @ distance @ across.T, np.float32)
        return roi_mask(logits, roi, view, slice(0, view.height), slice(0, view.width))
    # Placed in the frame as an image is; beyond it, far outside of the object.
    placed = np.full((FRAME_SIZE, FRAME_SIZE), float(distance.min()), np.float32)
    size = (view.new_width, view.new_height)
    interpolation = cv2.INTER_AREA if view.scale < 1 else cv2.INTER_LINEAR
    placed[: view.new_height, : view.new_width] = cv2.resize(distance, size, interpolation=interpolation)
    low_res = np.asarray(cv2.resize(placed, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    return image_mask(frame_logits(low_res, view), view)


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Pixels to the border, from the middle of the step between two pixels: positive inside, negative outside."""
    padded = np.pad(mask, 1).astype(np.uint8)  # what lies beyond the image is outside
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform(1 - padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    signed = np.where(padded > 0, inside - 0.5, 0.5 - outside)
    return np.asarray(signed[1:-1, 1:-1], np.float32)


def table(objects: list[ObjectCeiling]) -> str:
    """Markdown: a row a modality (mean over its cases), their mean, and a row a size (mean over objects)."""
    header = ["", "objects", *(f"{metric} {cover} {side}" for cover, side in WAYS for metric in ("DSC", "NSD"))]
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]

    def row(name: str, count: int, means: NDArray[np.float64]) -> str:
        return "| " + " | ".join([name, str(count), *(f"{value:.4f}" for value in means)]) + " |"

    def numbers(group: list[ObjectCeiling]) -> NDArray[np.float64]:
        return np.array([[value for way in WAYS for value in one.scores[way]] for one in group])

    modalities = []
    for modality in sorted({one.modality for one in objects}):
        group = [one for one in objects if one.modality == modality]
        by_case = defaultdict(list)
        for one in group:
            by_case[one.case].append(one)
        modalities.append(np.mean([numbers(case).mean(0) for case in by_case.values()], 0))
        lines.append(row(modality, len(group), modalities[-1]))
    lines.append(row("mean over modalities", len(objects), np.mean(modalities, 0)))
    for low, high in zip((0, *SIZES), (*SIZES, FRAME_SIZE + 1), strict=True):
        group = [one for one in objects if low <= one.size < high]
        if group:
            lines.append(row(f"{low} to {min(high, FRAME_SIZE)} pixels", len(group), numbers(group).mean(0)))
    return "\n".join(lines)
