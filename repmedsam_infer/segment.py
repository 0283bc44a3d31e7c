"""The page to read first: a case in, its segmentation out.

    image ── preprocess ──> frame ── encode, once a slice ──> embedding
    boxes ──────────────────────────────────────────────────────┴─ decode, all boxes at once ──> logits ──> labels

A mask never leaves its box, and the decoder looks at little more than it (window.py). A picture is one slice. A volume
is done slice by slice, each box prompting its slices with sections of the ellipsoid that fills it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.engines import Engine
from repmedsam_infer.postprocess import frame_logits, image_mask, paint, window_mask
from repmedsam_infer.preprocess import Frame
from repmedsam_infer.stopwatch import Stopwatch
from repmedsam_infer.window import whole_frame, windows_around

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
    boxes = frame.place_boxes(case.boxes.corners.astype(np.float32))
    segment_slice(case.imgs, segs, Prompts(boxes, boxes, case.boxes.labels.tolist()), frame, engine, watch)
    return segs


def segment_3d(case: Case, engine: Engine, watch: Stopwatch) -> Segmentation:
    """One encoding and one batch of boxes for every slice that a box spans, ends inclusive.

    The paper's baseline follows each mask from the middle slice outwards, its extent plus a margin being the next
    slice's box. Errors add up on the way, and boxes only grow towards the ends, where objects shrink.
    """
    segs = case.empty_segmentation()
    frame = Frame(*case.shape[1:])
    spans = [span_of(*item, frame) for item in zip(case.boxes.corners, case.boxes.labels, strict=True)]
    for z in sorted({z for span in spans for z in range(span.first, span.last + 1)}):
        here = [span for span in spans if span.first <= z <= span.last]
        sections, homes = np.stack([span.section(z) for span in here]), np.stack([span.home for span in here])
        segment_slice(
            case.imgs[z], segs[z], Prompts(sections, homes, [span.label for span in here]), frame, engine, watch
        )
    return segs


@dataclass(frozen=True)
class Prompts:
    """What to segment on one slice, in frame pixels: (N, 4) boxes that the network is told, (N, 4) homes that its masks
    do not leave, N labels.
    """

    boxes: F32
    homes: F32
    labels: list[int]


def segment_slice(
    image: NDArray[np.uint8], segs: Segmentation, prompts: Prompts, frame: Frame, engine: Engine, watch: Stopwatch
) -> None:
    """Paint the masks of an (H, W[, 3]) image into (H, W) `segs`: one encoding, one batch of boxes."""
    with watch("preprocess"):
        placed = frame.place_image(image)
    with watch("encode"):
        embedding = engine.encode(placed)
    with watch("decode"):
        windows = windows_around(prompts.homes) if engine.focus else whole_frame(len(prompts.labels))
        low_res_logits = engine.decode(embedding, prompts.boxes, windows)
    with watch("postprocess"):
        for logits, window, home, label in zip(low_res_logits, windows, prompts.homes, prompts.labels, strict=True):
            rows, columns = frame.pixels(home)
            if engine.focus:
                mask = window_mask(logits, window, frame, rows, columns)
            else:
                mask = image_mask(frame_logits(logits, frame), frame)[rows, columns]
            paint(segs[rows, columns], mask, label)


@dataclass(frozen=True)
class Span:
    """One 3D box: its label, its slices first..last, its x-y extent in the frame."""

    label: int
    first: int
    last: int
    home: F32

    def section(self, z: int) -> F32:
        """(4,) box of the section that slice z makes of the ellipsoid in this box."""
        middle, half = (self.first + self.last) / 2, (self.last - self.first + 1) / 2
        radius = np.sqrt(1 - ((z - middle) / half) ** 2)
        centre = (self.home[:2] + self.home[2:] + 1) / 2
        sides = np.maximum((self.home[2:] - self.home[:2] + 1) / 2 * radius, 0.5)
        return np.concatenate([centre - sides, centre + sides - 1]).astype(np.float32)


def span_of(corners: NDArray[np.float64], label: int, frame: Frame) -> Span:
    home = frame.place_boxes(corners[[0, 1, 3, 4]].astype(np.float32))
    return Span(int(label), round(corners[2]), round(corners[5]), home)
