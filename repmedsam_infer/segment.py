"""The page to read first: a case in, its segmentation out.

    image ── preprocess ──> frame ── encode, once a slice ──> embedding
    boxes ──────────────────────────────────────────────────────┴─ decode, all boxes at once ──> logits ──> labels

A mask never leaves its box, and the decoder's ROI is little larger than it (decoder_roi.py). A picture is one slice. A
volume is segmented slice by slice, each box prompting its slices with sections of the ellipsoid that fills it. Offsets,
smoothing and the smallest part are fitted to the weights and come with them (engines/calibration.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import bottom_to_top
from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.decoder_roi import rois_around, whole_frame
from repmedsam_infer.engines.engine import Decoded, Engine
from repmedsam_infer.engines.pool import run_in_workers
from repmedsam_infer.postprocess import drop_small_parts, frame_logits, image_mask, paint, roi_mask
from repmedsam_infer.preprocess import Frame
from repmedsam_infer.system.stopwatch import Stopwatch

F32 = NDArray[np.float32]
ByObject = dict[int, F32]  # (4G, 4G) logits


def segment(case: Case, engine: Engine, watch: Stopwatch) -> Segmentation:
    """(H, W) or (D, H, W) labels of all usable boxes of a case, uint8 or uint16."""
    return segment_3d(case, engine, watch) if case.is_volume else segment_2d(case, engine, watch)


def segment_2d(case: Case, engine: Engine, watch: Stopwatch) -> Segmentation:
    """One encoding, one batch of boxes."""
    segs = case.empty_segmentation()
    if not len(case.boxes.labels):
        return segs
    frame = Frame(*case.shape)
    boxes = frame.place_boxes(case.boxes.corners.astype(np.float32))
    logits = decode_slice(case.imgs, boxes, boxes, frame, engine, watch).low_res_logits
    logits += engine.calibration.picture_offset
    with watch("postprocess"):
        for i in bottom_to_top(case.boxes.corners):
            paint_object(segs, logits[i], boxes[i], int(case.boxes.labels[i]), frame, focus=engine.focus)
    return segs


def segment_3d(case: Case, engine: Engine, watch: Stopwatch) -> Segmentation:
    """One encoding and one batch of boxes for every slice that a box spans, ends inclusive; then each object's logits
    are smoothed across the slices, which share one ROI, and small parts apart from it are dropped.

    The paper's baseline follows each mask from the middle slice outwards, its extent plus a margin being the next
    slice's box. Errors add up on the way, and boxes only grow towards the ends, where objects shrink.
    """
    segs = case.empty_segmentation()
    frame, fitted = Frame(*case.shape[1:]), engine.calibration
    corners, labels = case.boxes.corners, case.boxes.labels
    boxes = [volume_box_of(corners[i], labels[i], frame) for i in bottom_to_top(corners)]  # as they are painted
    for z, below, here, above in slice_triples(decode_volume(case, boxes, frame, engine, watch)):
        with watch("postprocess"):
            for i, logits in here.items():
                smooth = smoothed(below.get(i, logits), logits, above.get(i, logits), fitted.slice_smoothing)
                smooth += fitted.volume_offset
                paint_object(segs[z], smooth, boxes[i].clip_box, boxes[i].label, frame, focus=engine.focus)
    with watch("postprocess"):
        for box in boxes:
            within = segs[box.first : box.last + 1, *frame.pixels(box.clip_box)]
            drop_small_parts(within, box.label, fitted.smallest_part)
    return segs


def decode_volume(
    case: Case, boxes: "list[VolumeBox]", frame: Frame, engine: Engine, watch: Stopwatch
) -> Iterator[tuple[int, ByObject]]:
    """Every slice that a box spans, in order, with the logits of each object on it, keyed by its place in `boxes`."""

    def decode_at(z: int, engine: Engine, watch: Stopwatch) -> tuple[int, ByObject]:
        here = [i for i, box in enumerate(boxes) if box.first <= z <= box.last]
        sections = np.stack([boxes[i].section(z) for i in here])
        clip_boxes = np.stack([boxes[i].clip_box for i in here])
        decoded = decode_slice(case.imgs[z], sections, clip_boxes, frame, engine, watch)
        return z, dict(zip(here, decoded.low_res_logits, strict=True))

    needed = sorted({z for box in boxes for z in range(box.first, box.last + 1)})
    return run_in_workers(decode_at, needed, engine, watch)


def slice_triples(slices: Iterable[tuple[int, ByObject]]) -> Iterator[tuple[int, ByObject, ByObject, ByObject]]:
    """Each slice between the one below and the one above it, which are empty where they are not in `slices`."""
    waiting: tuple[int, ByObject, ByObject] | None = None  # the slice before this one, with the one below it
    for z, logits in slices:
        adjacent = waiting is not None and waiting[0] == z - 1
        if waiting is not None:
            yield (*waiting, logits if adjacent else {})
        waiting = (z, waiting[2] if waiting is not None and adjacent else {}, logits)
    if waiting is not None:
        yield (*waiting, {})


def smoothed(below: F32, here: F32, above: F32, share: float) -> F32:
    """Mix a `share`, 0 to 0.5, of each neighbour into a slice's logits; at its ends an object is its own neighbour."""
    return share * (below + above) + (1 - 2 * share) * here


def decode_slice(
    image: NDArray[np.uint8], prompts: F32, clip_boxes: F32, frame: Frame, engine: Engine, watch: Stopwatch
) -> Decoded:
    """Logits and predicted IoU of N boxes on an (H, W[, 3]) image: one encoding, one batch of boxes.

    prompts (N, 4) are the boxes that the network is given, clip_boxes (N, 4) those that masks do not leave; in frame
    pixels.
    """
    with watch("preprocess"):
        placed = frame.place_image(image)
    with watch("encode"):
        embedding = engine.encode(placed)
    with watch("decode"):
        return decode(embedding, prompts, clip_boxes, engine)


def decode(embedding: F32, prompts: F32, clip_boxes: F32, engine: Engine) -> Decoded:
    """Logits and predicted IoU of N boxes, over the ROI of each clip box."""
    rois = rois_around(clip_boxes) if engine.focus else whole_frame(len(clip_boxes))
    return engine.decode(embedding, prompts, rois)


def object_mask(logits: F32, clip_box: F32, frame: Frame, *, focus: bool) -> tuple[slice, slice, NDArray[np.bool_]]:
    """Rows and columns of a clip box in the image, and the mask of (4G, 4G) logits on them."""
    rows, columns = frame.pixels(clip_box)
    if focus:
        mask = roi_mask(logits, rois_around(clip_box[None])[0], frame, rows, columns)
    else:
        mask = image_mask(frame_logits(logits, frame), frame)[rows, columns]
    return rows, columns, mask


def paint_object(segs: Segmentation, logits: F32, clip_box: F32, label: int, frame: Frame, *, focus: bool) -> None:
    """Write the mask of (4G, 4G) logits into (H, W) `segs`, within its clip box."""
    rows, columns, mask = object_mask(logits, clip_box, frame, focus=focus)
    paint(segs[rows, columns], mask, label)


@dataclass(frozen=True)
class VolumeBox:
    """One 3D box: its label, its slices first..last, its x-y extent in the frame."""

    label: int
    first: int
    last: int
    clip_box: F32

    def section(self, z: int) -> F32:
        """(4,) box of the section that slice z makes of the ellipsoid in this box."""
        middle, half = (self.first + self.last) / 2, (self.last - self.first + 1) / 2
        radius = np.sqrt(1 - ((z - middle) / half) ** 2)
        centre = (self.clip_box[:2] + self.clip_box[2:] + 1) / 2
        sides = np.maximum((self.clip_box[2:] - self.clip_box[:2] + 1) / 2 * radius, 0.5)
        return np.concatenate([centre - sides, centre + sides - 1]).astype(np.float32)


def volume_box_of(corners: NDArray[np.float64], label: int, frame: Frame) -> VolumeBox:
    clip_box = frame.place_boxes(corners[[0, 1, 3, 4]].astype(np.float32))
    return VolumeBox(int(label), round(corners[2]), round(corners[5]), clip_box)
