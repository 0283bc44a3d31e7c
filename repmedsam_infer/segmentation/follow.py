"""From slice to slice: the extent of a mask, and a margin, prompts the next slice, as in the challenge's baseline.

Errors add up on the way. Where a box says how far its object goes, sections of its ellipsoid do better (volume.py,
docs/experiments.md); where it does not, following finds that out (open_ended.py).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import bottom_to_top
from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.pool import run_in_workers
from repmedsam_infer.postprocess import paint
from repmedsam_infer.preprocess import View
from repmedsam_infer.segmentation.decode import Decoding, decode, object_mask
from repmedsam_infer.segmentation.embeddings import SliceEmbeddings
from repmedsam_infer.segmentation.features import mask_features
from repmedsam_infer.system.stopwatch import Stopwatch

F32 = NDArray[np.float32]
MARGIN = 3.0  # frame pixels around a mask's extent


@dataclass(frozen=True)
class Start:
    """Where an object is followed from, and how far at the most.

    z: the slice that is segmented first.
    first, last: slices that following does not leave.
    prompt: (4,) box on slice z, in frame pixels; it is used again where a mask is empty.
    limit: (4,) what later prompts do not leave, in frame pixels.
    """

    z: int
    first: int
    last: int
    prompt: F32
    limit: F32

    def reaches(self, z: int) -> bool:
        """Whether slice z may be tried."""
        return self.first <= z <= self.last


@dataclass(frozen=True)
class OnSlice:
    """An object on a slice: the box that prompted it, in frame pixels, its mask within that box, and its features."""

    z: int
    prompt: F32
    rows: slice
    columns: slice
    mask: NDArray[np.bool_]
    features: F32

    @property
    def extent(self) -> tuple[int, int, int, int] | None:
        """x_min y_min x_max y_max of the mask in image pixels, ends inclusive; None where it is empty."""
        if not self.mask.any():
            return None
        rows, columns = np.flatnonzero(self.mask.any(1)).tolist(), np.flatnonzero(self.mask.any(0)).tolist()
        left, top = self.columns.start, self.rows.start
        return left + columns[0], top + rows[0], left + columns[-1], top + rows[-1]

    def pixels_shared_with(self, other: "OnSlice") -> int:
        """Return the number of pixels that both masks have."""
        top, bottom = max(self.rows.start, other.rows.start), min(self.rows.stop, other.rows.stop)
        left, right = max(self.columns.start, other.columns.start), min(self.columns.stop, other.columns.stop)
        if top >= bottom or left >= right:
            return 0
        a, b = (
            one.mask[
                top - one.rows.start : bottom - one.rows.start, left - one.columns.start : right - one.columns.start
            ]
            for one in (self, other)
        )
        return int((a & b).sum())


@dataclass
class Way:
    """One object in one direction: the slice that comes next, the slice before it, and what prompts it."""

    index: int
    step: int
    before: OnSlice

    @property
    def z(self) -> int:
        return self.before.z + self.step


def follow(
    starts: Sequence[Start],
    embeddings: SliceEmbeddings,
    engine: Engine,
    watch: Stopwatch,
    goes_on: Callable[[int, int, OnSlice], bool],
) -> Iterator[tuple[int, OnSlice]]:
    """Every object on its first slice, then outwards in both directions at once.

    Args:
        starts: of the objects.
        embeddings: of the slices.
        engine: decodes.
        watch: times decoding.
        goes_on: of an object's place in `starts`, the direction, 1 or -1, and what it is on a slice: whether the next
            slice is to be tried. Not asked of the first one.

    """
    first = [(i, start.z, start.prompt) for i, start in enumerate(starts)]
    ways: list[Way] = []
    for i, on_slice in decode_some(first, embeddings, engine, watch):
        yield i, on_slice
        ways += [Way(i, step, on_slice) for step in (-1, 1)]
    ways = [way for way in ways if starts[way.index].reaches(way.z)]
    while ways:
        beyond = {way.z + way.step for way in ways if starts[way.index].reaches(way.z + way.step)}
        embeddings.encode_ahead({way.z for way in ways}, beyond)
        prompts = [
            (j, way.z, next_prompt(way.before, starts[way.index], embeddings.view)) for j, way in enumerate(ways)
        ]
        following: list[Way] = []
        for j, on_slice in decode_some(prompts, embeddings, engine, watch):
            way = Way(ways[j].index, ways[j].step, on_slice)
            yield way.index, on_slice
            if goes_on(way.index, way.step, on_slice) and starts[way.index].reaches(way.z):
                following.append(way)
        ways = following


def label_by_following(case: Case, embeddings: SliceEmbeddings, engine: Engine, watch: Stopwatch) -> Segmentation:
    """(D, H, W) labels: each 3D box on its middle slice, then outwards, no prompt leaving it (paper section 2.3)."""
    segs, labels = case.empty_segmentation(), case.boxes.labels
    rank = np.zeros(case.boxes.count + 1, np.int64)  # of labels, where they overlap: the highest is on top
    rank[labels[bottom_to_top(case.boxes.corners)]] = np.arange(1, len(labels) + 1)
    in_plane = embeddings.view.place_boxes(case.boxes.corners[:, [0, 1, 3, 4]].astype(np.float32))
    ends = np.rint(case.boxes.corners[:, [2, 5]]).astype(int).tolist()
    starts = [
        Start((first + last) // 2, first, last, box, box) for (first, last), box in zip(ends, in_plane, strict=True)
    ]
    for i, on_slice in follow(starts, embeddings, engine, watch, lambda *_: True):
        with watch("postprocess"):
            label = int(labels[i])
            beneath = segs[on_slice.z, on_slice.rows, on_slice.columns]
            paint(beneath, on_slice.mask & (rank[beneath] < rank[label]), label)
    return segs


def next_prompt(before: OnSlice, start: Start, view: View) -> F32:
    """(4,) extent of a mask and MARGIN around it, within the limit; the first prompt where the mask is empty."""
    extent = before.extent
    if extent is None:
        return start.prompt
    grown = view.place_boxes(np.array([extent], np.float32))[0]
    grown += np.array([-MARGIN, -MARGIN, MARGIN, MARGIN], np.float32)
    return np.concatenate([np.maximum(grown[:2], start.limit[:2]), np.minimum(grown[2:], start.limit[2:])])


def decode_some(
    prompts: Sequence[tuple[int, int, F32]], embeddings: SliceEmbeddings, engine: Engine, watch: Stopwatch
) -> Iterator[tuple[int, OnSlice]]:
    """Decode (key, slice, (4,) box in frame pixels), all boxes of a slice at once; results in order of slices."""
    view, offset, focus = embeddings.view, engine.calibration.volume_offset, engine.focus
    found = embeddings.of(z for _, z, _ in prompts)

    def decode_at(z: int, engine: Engine, watch: Stopwatch) -> list[tuple[int, OnSlice]]:
        here = [(key, box) for key, at, box in prompts if at == z]
        boxes = np.stack([box for _, box in here])
        with watch("decode"):
            decoded = decode(found[z], boxes, boxes, engine, offset)
            features = mask_features(decoded, boxes, rois_around(boxes))
        with watch("postprocess"):
            return [
                (key, OnSlice(z, box, *object_mask([Decoding(view, box, logits)], focus=focus), of_mask))
                for (key, box), logits, of_mask in zip(here, decoded.low_res_logits, features, strict=True)
            ]

    for of_slice in run_in_workers(decode_at, list(found), engine, watch):
        yield from of_slice
