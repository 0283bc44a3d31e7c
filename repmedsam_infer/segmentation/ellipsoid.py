"""Volumes, as we do them: each box prompts its slices with the sections of the ellipsoid that fills it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import bottom_to_top
from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.pool import run_in_workers
from repmedsam_infer.postprocess import drop_small_parts, paint
from repmedsam_infer.preprocess import View
from repmedsam_infer.segmentation.decode import Decoding, decode, object_mask
from repmedsam_infer.segmentation.embeddings import SliceEmbeddings
from repmedsam_infer.segmentation.features import mask_features, volume_features
from repmedsam_infer.system.stopwatch import Stopwatch

F32 = NDArray[np.float32]
ByObject = dict[int, F32]  # (4G, 4G) logits


def label_by_ellipsoids(
    case: Case, embeddings: SliceEmbeddings, engine: Engine, watch: Stopwatch
) -> "tuple[Segmentation, list[VolumeBox]]":
    """(D, H, W) labels, and the K boxes with what was `seen` in each.

    One encoding and one batch of boxes for every slice that a box spans, ends inclusive; then each object's logits are
    smoothed across the slices, which share one ROI, and small parts apart from it are dropped.
    """
    segs, view = case.empty_segmentation(), embeddings.view
    boxes = [volume_box_of(*box, view) for box in zip(case.boxes.corners, case.boxes.labels.tolist(), strict=True)]
    order = bottom_to_top(case.boxes.corners).tolist()
    for on_slice in masks_by_ellipsoids(boxes, order, embeddings, engine, watch):
        with watch("postprocess"):
            paint(segs[on_slice.z, on_slice.rows, on_slice.columns], on_slice.mask, boxes[on_slice.index].label)
    with watch("postprocess"):
        for i in order:
            drop_small_parts(segs[boxes[i].voxels(view)], boxes[i].label, engine.calibration.smallest_part)
    return segs, boxes


@dataclass(frozen=True)
class MaskOnSlice:
    """The mask of the box at `index` on slice z, over rows and columns of the image."""

    z: int
    index: int
    rows: slice
    columns: slice
    mask: NDArray[np.bool_]


def masks_by_ellipsoids(
    boxes: "Sequence[VolumeBox]", order: Sequence[int], embeddings: SliceEmbeddings, engine: Engine, watch: Stopwatch
) -> Iterator[MaskOnSlice]:
    """Every mask of every slice, slices in order, the boxes of each in `order` (places in `boxes`)."""
    view, fitted = embeddings.view, engine.calibration
    for z, below, here, above in slice_triples(decode_volume(boxes, embeddings, engine, watch)):
        for i in filter(here.__contains__, order):
            with watch("postprocess"):
                logits = here[i]
                smooth = smoothed(below.get(i, logits), logits, above.get(i, logits), fitted.slice_smoothing)
                smooth += fitted.volume_offset
                of_object = object_mask([Decoding(view, boxes[i].clip_box, smooth)], focus=engine.focus)
            yield MaskOnSlice(z, i, *of_object)


def volume_confidence(boxes: "Sequence[VolumeBox]", engine: Engine) -> F32:
    """(K,) the DSC that the mask of each box is estimated to have, of what was `seen`; NaN where nothing estimates."""
    if engine.confidence is None or not engine.focus or not boxes:
        return np.full(len(boxes), np.nan, np.float32)
    return engine.confidence.volume(np.stack([volume_features(np.stack(box.seen)) for box in boxes]))[:, 0]


def decode_volume(
    boxes: "Sequence[VolumeBox]", embeddings: SliceEmbeddings, engine: Engine, watch: Stopwatch
) -> Iterator[tuple[int, ByObject]]:
    """Every slice that a box spans, in order, with the logits of each object on it, keyed by its place in `boxes`.

    What confidence is estimated from goes to each box's `seen`.
    """

    def decode_at(z: int, engine: Engine, watch: Stopwatch) -> tuple[int, ByObject, dict[int, F32]]:
        here = [i for i, box in enumerate(boxes) if box.first <= z <= box.last]
        sections = np.stack([boxes[i].section(z) for i in here])
        clip_boxes = np.stack([boxes[i].clip_box for i in here])
        embedding = embeddings.at(z, engine, watch)
        with watch("decode"):
            decoded = decode(embedding, sections, clip_boxes, engine)
            features = mask_features(decoded, clip_boxes, rois_around(clip_boxes))
        return z, dict(zip(here, decoded.low_res_logits, strict=True)), dict(zip(here, features, strict=True))

    needed = sorted({z for box in boxes for z in range(box.first, box.last + 1)})
    for z, logits, features in run_in_workers(decode_at, needed, engine, watch):
        for i, of_slice in features.items():
            boxes[i].seen.append(of_slice)
        yield z, logits


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


@dataclass(frozen=True)
class VolumeBox:
    """One 3D box: its label, its slices first..last, its x-y extent in the frame.

    seen: mask_features of each slice that was decoded, in order.
    """

    label: int
    first: int
    last: int
    clip_box: F32
    seen: list[F32] = field(default_factory=list, compare=False, repr=False)

    def voxels(self, view: View) -> tuple[slice, slice, slice]:
        """Slices, rows and columns of the volume that it may mark."""
        return slice(self.first, self.last + 1), *view.pixels(self.clip_box)

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
