"""The page to read first: a case in, its segmentation out.

    image ── preprocess ──> frame ── encode, once a slice ──> embedding
    boxes ──────────────────────────────────────────────────────┴─ decode, all boxes at once ──> logits ──> labels

A mask never leaves its box, and the decoder's ROI is little larger than it (decoder_roi.py). A picture is one slice;
small boxes on it get a close view besides the whole one, and the logits of both are averaged (preprocess.py). A volume
is segmented slice by slice, each box prompting its slices with sections of the ellipsoid that fills it. Offsets,
smoothing and the smallest part are fitted to the weights and come with them (engines/calibration.py).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import bottom_to_top
from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.decoder_roi import rois_around, whole_frame
from repmedsam_infer.engines.engine import Decoded, Engine
from repmedsam_infer.engines.pool import run_in_workers
from repmedsam_infer.postprocess import drop_small_parts, frame_logits, image_mask, paint, roi_logits
from repmedsam_infer.preprocess import CLOSE_WEIGHT, Picture, View, Zoom, close_views
from repmedsam_infer.system.stopwatch import Stopwatch

F32 = NDArray[np.float32]
ByObject = dict[int, F32]  # (4G, 4G) logits


def segment(case: Case, engine: Engine, watch: Stopwatch, zoom: Zoom = "auto") -> Segmentation:
    """(H, W) or (D, H, W) labels of all usable boxes of a case, uint8 or uint16. Volumes have no close views."""
    return segment_3d(case, engine, watch) if case.is_volume else segment_2d(case, engine, watch, zoom)


def segment_2d(case: Case, engine: Engine, watch: Stopwatch, zoom: Zoom = "auto") -> Segmentation:
    """One encoding and one batch of boxes for each view."""
    segs = case.empty_segmentation()
    if not len(case.boxes.labels):
        return segs
    picture = Picture(case.imgs)

    def encode(view: View) -> F32:
        with watch("preprocess"):
            placed = picture.place(view)
        with watch("encode"):
            return engine.encode(placed)

    corners = case.boxes.corners.astype(np.float32)
    decodings = decode_picture(picture.whole, corners, engine, watch, zoom, encode)
    with watch("postprocess"):
        for i in bottom_to_top(case.boxes.corners):
            rows, columns, mask = object_mask(decodings[i], focus=engine.focus)
            paint(segs[rows, columns], mask, int(case.boxes.labels[i]))
    return segs


@dataclass(frozen=True)
class Decoding:
    """What the decoder makes of one box on one view: its clip box in the view's frame, (4,), and (4G, 4G) logits."""

    view: View
    clip_box: F32
    logits: F32


def decode_picture(
    whole: View,
    corners: F32,
    engine: Engine,
    watch: Stopwatch,
    zoom: Zoom,
    encode: Callable[[View], F32],
) -> list[list[Decoding]]:
    """Decode N boxes, each on the whole view first, then on close ones; logits have the offset of pictures.

    Args:
        whole: the whole view.
        corners: (N, 4) inclusive, in image pixels.
        engine: decodes.
        watch: times decoding.
        zoom: how many close views there may be.
        encode: gives the embedding of a view.

    """
    decodings: list[list[Decoding]] = [[] for _ in corners]
    close = close_views(corners, whole, zoom) if engine.focus else []
    for view, shown in [(whole, np.arange(len(corners))), *close]:
        clip_boxes = view.place_boxes(corners[shown])
        embedding = encode(view)
        with watch("decode"):
            logits = decode(embedding, clip_boxes, clip_boxes, engine).low_res_logits
        logits += engine.calibration.picture_offset
        for i, clip_box, of_box in zip(shown.tolist(), clip_boxes, logits, strict=True):
            decodings[i].append(Decoding(view, clip_box, of_box))
    return decodings


def object_mask(decodings: Sequence[Decoding], *, focus: bool) -> tuple[slice, slice, NDArray[np.bool_]]:
    """Rows and columns of a clip box in the image, and the mask on them: where the mean of its logits is positive."""
    whole = decodings[0]
    rows, columns = whole.view.pixels(whole.clip_box)
    if not focus:
        return rows, columns, image_mask(frame_logits(whole.logits, whole.view), whole.view)[rows, columns]
    logits, *close = (
        roi_logits(one.logits, rois_around(one.clip_box[None])[0], one.view, rows, columns) for one in decodings
    )
    for other in close:
        logits = (1 - CLOSE_WEIGHT) * logits + CLOSE_WEIGHT * other
    return rows, columns, logits > 0


def segment_3d(case: Case, engine: Engine, watch: Stopwatch) -> Segmentation:
    """One encoding and one batch of boxes for every slice that a box spans, ends inclusive; then each object's logits
    are smoothed across the slices, which share one ROI, and small parts apart from it are dropped.

    The paper's baseline follows each mask from the middle slice outwards, its extent plus a margin being the next
    slice's box. Errors add up on the way, and boxes only grow towards the ends, where objects shrink.
    """
    segs = case.empty_segmentation()
    view, fitted = View(*case.shape[1:]), engine.calibration
    corners, labels = case.boxes.corners, case.boxes.labels
    boxes = [volume_box_of(corners[i], labels[i], view) for i in bottom_to_top(corners)]  # as they are painted
    for z, below, here, above in slice_triples(decode_volume(case, boxes, view, engine, watch)):
        with watch("postprocess"):
            for i, logits in here.items():
                smooth = smoothed(below.get(i, logits), logits, above.get(i, logits), fitted.slice_smoothing)
                smooth += fitted.volume_offset
                rows, columns, mask = object_mask([Decoding(view, boxes[i].clip_box, smooth)], focus=engine.focus)
                paint(segs[z, rows, columns], mask, boxes[i].label)
    with watch("postprocess"):
        for box in boxes:
            within = segs[box.first : box.last + 1, *view.pixels(box.clip_box)]
            drop_small_parts(within, box.label, fitted.smallest_part)
    return segs


def decode_volume(
    case: Case, boxes: "list[VolumeBox]", view: View, engine: Engine, watch: Stopwatch
) -> Iterator[tuple[int, ByObject]]:
    """Every slice that a box spans, in order, with the logits of each object on it, keyed by its place in `boxes`."""

    def decode_at(z: int, engine: Engine, watch: Stopwatch) -> tuple[int, ByObject]:
        here = [i for i, box in enumerate(boxes) if box.first <= z <= box.last]
        sections = np.stack([boxes[i].section(z) for i in here])
        clip_boxes = np.stack([boxes[i].clip_box for i in here])
        decoded = decode_slice(case.imgs[z], sections, clip_boxes, view, engine, watch)
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
    image: NDArray[np.uint8], prompts: F32, clip_boxes: F32, view: View, engine: Engine, watch: Stopwatch
) -> Decoded:
    """Logits and predicted IoU of N boxes on an (H, W[, 3]) image: one encoding, one batch of boxes.

    prompts (N, 4) are the boxes that the network is given, clip_boxes (N, 4) those that masks do not leave; in frame
    pixels.
    """
    with watch("preprocess"):
        placed = view.place_image(image)
    with watch("encode"):
        embedding = engine.encode(placed)
    with watch("decode"):
        return decode(embedding, prompts, clip_boxes, engine)


def decode(embedding: F32, prompts: F32, clip_boxes: F32, engine: Engine) -> Decoded:
    """Logits and predicted IoU of N boxes, over the ROI of each clip box."""
    rois = rois_around(clip_boxes) if engine.focus else whole_frame(len(clip_boxes))
    return engine.decode(embedding, prompts, rois)


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


def volume_box_of(corners: NDArray[np.float64], label: int, view: View) -> VolumeBox:
    clip_box = view.place_boxes(corners[[0, 1, 3, 4]].astype(np.float32))
    return VolumeBox(int(label), round(corners[2]), round(corners[5]), clip_box)
