"""The page to read first: a case in, its segmentation out.

    image ── preprocess ──> frame ── encode, once a slice ──> embedding
    boxes ──────────────────────────────────────────────────────┴─ decode, all boxes at once ──> logits ──> labels

A mask never leaves its box, and the decoder looks at little more than it (window.py). A picture is one slice. A volume
is done slice by slice, each box prompting its slices with sections of the ellipsoid that fills it. Offsets, smoothing
and what counts as a speck are fitted to the weights and come with them (calibration.py).
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.engines import Decoded, Engine
from repmedsam_infer.islands import drop_islands
from repmedsam_infer.overlap import bottom_to_top
from repmedsam_infer.postprocess import frame_logits, image_mask, paint, window_mask
from repmedsam_infer.preprocess import Frame
from repmedsam_infer.stopwatch import Stopwatch
from repmedsam_infer.together import all_together
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
    logits = decode_slice(case.imgs, boxes, boxes, frame, engine, watch).low_res_logits
    logits += engine.calibration.picture_offset
    with watch("postprocess"):
        for i in bottom_to_top(case.boxes.corners):
            paint_object(segs, logits[i], boxes[i], int(case.boxes.labels[i]), frame, engine.focus)
    return segs


def segment_3d(case: Case, engine: Engine, watch: Stopwatch) -> Segmentation:
    """One encoding and one batch of boxes for every slice that a box spans, ends inclusive; then each object's logits
    are smoothed across the slices, which all see it through the same window, and specks beside it go (islands.py).

    The paper's baseline follows each mask from the middle slice outwards, its extent plus a margin being the next
    slice's box. Errors add up on the way, and boxes only grow towards the ends, where objects shrink.
    """
    segs = case.empty_segmentation()
    frame, fitted = Frame(*case.shape[1:]), engine.calibration
    corners, labels = case.boxes.corners, case.boxes.labels
    spans = [span_of(corners[i], labels[i], frame) for i in bottom_to_top(corners)]  # as they are painted
    columns = [Column(span.first, fitted.slice_smoothing) for span in spans]
    waiting: defaultdict[int, list[tuple[int, F32]]] = defaultdict(list)  # of each slice, the objects that are done

    def paint_slices_before(z: int) -> None:
        for done in [k for k in waiting if k < z]:
            for i, smooth in sorted(waiting.pop(done), key=lambda item: item[0]):
                logits = smooth + fitted.volume_offset
                paint_object(segs[done], logits, spans[i].home, spans[i].label, frame, engine.focus)

    def decode_at(z: int, engine: Engine, watch: Stopwatch) -> tuple[int, list[int], F32]:
        here = [i for i, span in enumerate(spans) if span.first <= z <= span.last]
        sections, homes = np.stack([spans[i].section(z) for i in here]), np.stack([spans[i].home for i in here])
        return z, here, decode_slice(case.imgs[z], sections, homes, frame, engine, watch).low_res_logits

    needed = sorted({z for span in spans for z in range(span.first, span.last + 1)})
    for z, here, decoded in all_together(decode_at, needed, engine, watch):
        with watch("postprocess"):
            for i, logits in zip(here, decoded, strict=True):
                for done, smooth in columns[i].add(logits, last=z == spans[i].last):
                    waiting[done].append((i, smooth))
            paint_slices_before(z)
    with watch("postprocess"):
        paint_slices_before(case.shape[0])
        for span in spans:
            within = segs[span.first : span.last + 1, *frame.pixels(span.home)]
            drop_islands(within, span.label, fitted.smallest_part)
    return segs


def decode_slice(
    image: NDArray[np.uint8], prompts: F32, homes: F32, frame: Frame, engine: Engine, watch: Stopwatch
) -> Decoded:
    """Logits and predicted IoU of N boxes on an (H, W[, 3]) image: one encoding, one batch of boxes.

    prompts (N, 4) are the boxes that the network is told, homes (N, 4) those that masks do not leave; in frame pixels.
    """
    with watch("preprocess"):
        placed = frame.place_image(image)
    with watch("encode"):
        embedding = engine.encode(placed)
    with watch("decode"):
        return decode(embedding, prompts, homes, engine)


def decode(embedding: F32, prompts: F32, homes: F32, engine: Engine) -> Decoded:
    """Logits and predicted IoU of N boxes, over what the engine looks at for each home."""
    windows = windows_around(homes) if engine.focus else whole_frame(len(homes))
    return engine.decode(embedding, prompts, windows)


def object_mask(logits: F32, home: F32, frame: Frame, focus: bool) -> tuple[slice, slice, NDArray[np.bool_]]:
    """Rows and columns of a home in the image, and the mask of (4G, 4G) logits on them."""
    rows, columns = frame.pixels(home)
    if focus:
        mask = window_mask(logits, windows_around(home[None])[0], frame, rows, columns)
    else:
        mask = image_mask(frame_logits(logits, frame), frame)[rows, columns]
    return rows, columns, mask


def paint_object(segs: Segmentation, logits: F32, home: F32, label: int, frame: Frame, focus: bool) -> None:
    """Write the mask of (4G, 4G) logits into (H, W) `segs`, within its home."""
    rows, columns, mask = object_mask(logits, home, frame, focus)
    paint(segs[rows, columns], mask, label)


class Column:
    """One object's logits, slice upon slice: a share `smoothing` of each neighbour, the rest of the slice itself.

    At the ends a slice is its own neighbour. Only two slices are kept, whatever the depth.
    """

    def __init__(self, first: int, smoothing: float) -> None:
        self.z = first  # of the next slice
        self.smoothing = smoothing
        self.before: F32 | None = None
        self.here: F32 | None = None

    def add(self, logits: F32, last: bool) -> list[tuple[int, F32]]:
        """Take the next slice; give those that are done, with their z: the one before, at the end also this one."""
        done: list[tuple[int, F32]] = []
        if self.here is not None:
            before = self.here if self.before is None else self.before
            done.append((self.z - 1, self.smooth(before, self.here, logits)))
        if last:
            before = logits if self.here is None else self.here
            done.append((self.z, self.smooth(before, logits, logits)))
        self.before, self.here = self.here, logits
        self.z += 1
        return done

    def smooth(self, before: F32, here: F32, after: F32) -> F32:
        return self.smoothing * (before + after) + (1 - 2 * self.smoothing) * here


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
