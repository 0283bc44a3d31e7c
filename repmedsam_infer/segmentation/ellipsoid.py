"""Volumes, as we do them: each box prompts its slices with the sections of the ellipsoid that fills it."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

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
ByObject = dict[int, F32]  # of an object by its place: (4G, 4G) logits, or features
Result = TypeVar("Result")
LONGEST_GROUP = 16  # slices that a worker encodes before it decodes them; twice as many are no faster
MOST_EMBEDDINGS = 64  # in the groups of all workers of a case: 100 MB


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

    def paint_all(on_slice: Sequence[MaskOnSlice]) -> None:
        for one in on_slice:
            paint(segs[one.z, one.rows, one.columns], one.mask, boxes[one.index].label)

    for _ in slices_by_ellipsoids(boxes, order, paint_all, embeddings, engine, watch):
        pass
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
    """Every mask of every slice: slices as they are done, the boxes of each in `order` (places in `boxes`)."""
    for on_slice in slices_by_ellipsoids(boxes, order, list, embeddings, engine, watch):
        yield from on_slice


def slices_by_ellipsoids(
    boxes: "Sequence[VolumeBox]",
    order: Sequence[int],
    use: Callable[[Sequence[MaskOnSlice]], Result],
    embeddings: SliceEmbeddings,
    engine: Engine,
    watch: Stopwatch,
) -> Iterator[Result]:
    """Yield what `use` makes of the masks of each slice that a box spans, in `order`; slices as they are done.

    Everything is done by the engine's workers, `use` too: a further thread would take processors from theirs. Each
    encodes a group of slices and then decodes them: a network that runs again finds more in the processor's cache. The
    masks of a slice need the logits of both its neighbours; the worker that decodes the last of these makes them.
    What confidence is estimated from goes to each box's `seen`.
    """
    view, fitted = embeddings.view, engine.calibration
    needed = sorted({z for box in boxes for z in range(box.first, box.last + 1)})
    triples = SliceTriples(needed)

    def do(some: Sequence[int], engine: Engine, watch: Stopwatch) -> list[tuple[ByObject, list[Result]]]:
        waiting = deque([(z, embeddings.at(z, engine, watch)) for z in some])
        done = []
        while waiting:
            z, embedding = waiting.popleft()
            here = [i for i, box in enumerate(boxes) if box.first <= z <= box.last]
            sections = np.stack([boxes[i].section(z) for i in here])
            clip_boxes = np.stack([boxes[i].clip_box for i in here])
            with watch("decode"):
                decoded = decode(embedding, sections, clip_boxes, engine)
                features = mask_features(decoded, clip_boxes, rois_around(clip_boxes))
            with watch("postprocess"):
                complete = triples.add(z, dict(zip(here, decoded.low_res_logits, strict=True)))
                used = [use(masks_of(*triple)) for triple in complete]
            done.append((dict(zip(here, features, strict=True)), used))
        return done

    def masks_of(z: int, below: ByObject, here: ByObject, above: ByObject) -> list[MaskOnSlice]:
        masks = []
        for i in filter(here.__contains__, order):
            logits = here[i]
            smooth = smoothed(below.get(i, logits), logits, above.get(i, logits), fitted.slice_smoothing)
            smooth += fitted.volume_offset
            of_object = object_mask([Decoding(view, boxes[i].clip_box, smooth)], focus=engine.focus)
            masks.append(MaskOnSlice(z, i, *of_object))
        return masks

    for done in run_in_workers(do, in_groups(needed, len(engine.workers)), engine, watch):
        for features, used in done:
            for i, of_slice in features.items():
                boxes[i].seen.append(of_slice)
            yield from used


def in_groups(slices: Sequence[int], workers: int) -> list[Sequence[int]]:
    """Cut `slices` into groups of nearly equal length, as many for each worker."""
    most = max(1, min(LONGEST_GROUP, MOST_EMBEDDINGS // workers))
    count = min(len(slices), workers * math.ceil(len(slices) / (workers * most)))
    return [slices[len(slices) * i // count : len(slices) * (i + 1) // count] for i in range(count)]


class SliceTriples:
    """Logits of slices until both neighbours of each are there, where it has some. Threads may share it.

    Args:
        slices: that will be added, in any order.

    """

    def __init__(self, slices: Iterable[int]) -> None:
        all_of_them = set(slices)
        self.lock = Lock()
        self.logits: dict[int, ByObject] = {}  # of slices that are in a triple to come
        self.missing = {z: len(all_of_them.intersection(around(z))) for z in all_of_them}  # of each one's triple
        self.uses = dict(self.missing)  # triples to come that each is in

    def add(self, z: int, logits: ByObject) -> list[tuple[int, ByObject, ByObject, ByObject]]:
        """Add slice z; returns the slices that are complete by it, each between those below and above, or nothing."""
        with self.lock:
            self.logits[z] = logits
            complete = []
            for other in filter(self.missing.__contains__, around(z)):
                self.missing[other] -= 1
                if not self.missing[other]:
                    below, here, above = (self.logits.get(part, {}) for part in around(other))
                    complete.append((other, below, here, above))
            for part in (part for other, *_ in complete for part in around(other) if part in self.uses):
                self.uses[part] -= 1
                if not self.uses[part]:
                    del self.logits[part]
            return complete


def around(z: int) -> tuple[int, int, int]:
    return z - 1, z, z + 1


def smoothed(below: F32, here: F32, above: F32, share: float) -> F32:
    """Mix a `share`, 0 to 0.5, of each neighbour into a slice's logits; at its ends an object is its own neighbour."""
    return share * (below + above) + (1 - 2 * share) * here


def volume_confidence(boxes: "Sequence[VolumeBox]", engine: Engine) -> F32:
    """(K,) the DSC that the mask of each box is estimated to have, of what was `seen`; NaN where nothing estimates."""
    if engine.confidence is None or not engine.focus or not boxes:
        return np.full(len(boxes), np.nan, np.float32)
    return engine.confidence.volume(np.stack([volume_features(np.stack(box.seen)) for box in boxes]))[:, 0]


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
