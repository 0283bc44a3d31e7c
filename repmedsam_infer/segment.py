"""The page to read first: a case in, its segmentation out.

    image ── preprocess ──> frame ── encode, once a slice ──> embedding
    boxes ──────────────────────────────────────────────────────┴─ decode, all boxes at once ──> logits ──> labels

A mask stays in its box, give or take a pixel of the frame. A picture is one slice. In a volume each box starts at its
middle slice and is followed up and down, a slice a step, by the extent of the mask just found; at every step all boxes,
in both directions, are decoded in one batch.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.engines import Engine
from repmedsam_infer.postprocess import extent, frame_logits, image_mask, paint
from repmedsam_infer.preprocess import Frame
from repmedsam_infer.stopwatch import Stopwatch

MARGIN = 3  # frame pixels added around a mask's extent to make the next slice's box
SPILL = 1  # frame pixels by which a mask may leave its box, which may have been drawn a little small
CONFINE = True  # whether such a box is kept within the 3D box's own extent plus the margin

F32 = NDArray[np.float32]


def segment(case: Case, engine: Engine, watch: Stopwatch) -> Segmentation:
    """(H, W) or (D, H, W) labels of all usable boxes of a case, uint8 or uint16."""
    return segment_3d(case, engine, watch) if case.is_volume else segment_2d(case, engine, watch)


def segment_2d(case: Case, engine: Engine, watch: Stopwatch) -> Segmentation:
    """One encoding, one batch of boxes."""
    segs = case.empty_segmentation()
    if not len(case.boxes.labels):
        return segs
    frame = Frame(*case.shape)
    with watch("preprocess"):
        image = frame.place_image(case.imgs)
        boxes = frame.place_boxes(case.boxes.corners.astype(np.float32))
    with watch("encode"):
        embedding = engine.encode(image)
    with watch("decode"):
        low_res_logits = engine.decode(embedding[None], boxes, np.zeros(len(boxes), np.int64))
    with watch("postprocess"):
        for logits, box, label in zip(low_res_logits, boxes, case.boxes.labels, strict=True):
            window = frame.window(box, SPILL)
            paint(segs[window], image_mask(frame_logits(logits, frame), frame)[window], int(label))
    return segs


def segment_3d(case: Case, engine: Engine, watch: Stopwatch) -> Segmentation:
    """Follow every box from its middle slice to both of its ends, inclusive."""
    segs = case.empty_segmentation()
    frame = Frame(*case.shape[1:])
    spans = [span_of(*item, frame) for item in zip(case.boxes.corners, case.boxes.labels, strict=True)]
    embeddings = Embeddings(case.imgs, spans, frame, engine, watch)

    fronts = [Front(span, (span.first + span.last) // 2, 0, span.home) for span in spans]
    while fronts:
        slices = sorted({front.z for front in fronts})
        embedding = np.stack([embeddings[z] for z in slices])
        index = np.array([slices.index(front.z) for front in fronts], np.int64)
        with watch("decode"):
            low_res_logits = engine.decode(embedding, np.stack([front.prompt for front in fronts]), index)
        embeddings.release(fronts)
        with watch("postprocess"):
            advanced: list[Front] = []
            for front, low_res in zip(fronts, low_res_logits, strict=True):
                logits = frame_logits(low_res, frame)
                window = frame.window(front.span.home, SPILL)
                paint(segs[front.z][window], image_mask(logits, frame)[window], front.span.label)
                advanced += front.advance(next_prompt(logits, front.span.home, frame))
            fronts = advanced
    return segs


@dataclass(frozen=True)
class Span:
    """One 3D box: its label, its slices first..last, its x-y extent in the frame."""

    label: int
    first: int
    last: int
    home: F32


def span_of(corners: NDArray[np.float64], label: int, frame: Frame) -> Span:
    home = frame.place_boxes(corners[[0, 1, 3, 4]].astype(np.float32))
    return Span(int(label), round(corners[2]), round(corners[5]), home)


@dataclass(frozen=True)
class Front:
    """A box at slice `z`, moving by `step` (0 at the middle slice, from where it goes both ways)."""

    span: Span
    z: int
    step: int
    prompt: F32

    def advance(self, prompt: F32) -> "list[Front]":
        """Where it goes next with this prompt; nowhere beyond the box's ends."""
        steps = (self.step,) if self.step else (1, -1)
        return [
            Front(self.span, self.z + step, step, prompt)
            for step in steps
            if self.span.first <= self.z + step <= self.span.last
        ]


def next_prompt(logits: F32, home: F32, frame: Frame) -> F32:
    """The extent of the mask just found plus a margin, within the box's own extent plus that margin; the box's own
    extent where the mask is empty (or wholly elsewhere).
    """
    found = extent(logits)
    if found is None:
        return home
    outward = np.array([-MARGIN, -MARGIN, MARGIN, MARGIN], np.float32)
    limit = np.array([frame.new_width, frame.new_height] * 2, np.float32) - 1
    prompt = np.clip(found + outward, 0, limit)
    if CONFINE:
        prompt = np.concatenate([np.maximum(prompt[:2], home[:2] - MARGIN), np.minimum(prompt[2:], home[2:] + MARGIN)])
    return prompt.astype(np.float32) if (prompt[:2] < prompt[2:]).all() else home


class Embeddings:
    """Embeddings of a volume's slices: each computed once, when first asked for, and dropped after its last use."""

    def __init__(self, imgs: NDArray[np.uint8], spans: list[Span], frame: Frame, engine: Engine, watch: Stopwatch):
        self.imgs, self.frame, self.engine, self.watch = imgs, frame, engine, watch
        self.uses = Counter(z for span in spans for z in range(span.first, span.last + 1))
        self.kept: dict[int, F32] = {}

    def __getitem__(self, z: int) -> F32:
        """(C, G, G) of slice z."""
        if z not in self.kept:
            with self.watch("preprocess"):
                image = self.frame.place_image(self.imgs[z])
            with self.watch("encode"):
                self.kept[z] = self.engine.encode(image)
        return self.kept[z]

    def release(self, fronts: list[Front]) -> None:
        """Each of these has used its slice, as it does exactly once."""
        for front in fronts:
            self.uses[front.z] -= 1
            if not self.uses[front.z]:
                del self.kept[front.z]
