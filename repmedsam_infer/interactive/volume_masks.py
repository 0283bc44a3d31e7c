"""Masks of boxes in a volume, each worked out once; embeddings of slices are kept, so that a changed box is quick."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import Boxes
from repmedsam_infer.case import Case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.interactive.box_mask import BoxMask, Progress
from repmedsam_infer.interactive.drawing import BoxMark, Drawing, box_marks
from repmedsam_infer.postprocess import drop_small_parts
from repmedsam_infer.preprocess import View
from repmedsam_infer.segmentation.decode import Decoding, decode, object_mask
from repmedsam_infer.segmentation.ellipsoid import masks_by_ellipsoids, volume_box_of, volume_confidence
from repmedsam_infer.segmentation.embeddings import SliceEmbeddings
from repmedsam_infer.segmentation.open_ended import Found, find_ends, keep_what_following_found
from repmedsam_infer.system.stopwatch import Stopwatch

MOST_VOXELS = 512 << 20  # of masks that are kept, a byte each
AHEAD = 6  # slices on each side of the one that is shown
F32 = NDArray[np.float32]
Key = tuple[tuple[int, ...], bool]  # a box, and whether it is followed


class CountedEmbeddings(SliceEmbeddings):
    """Embeddings that say how many slices they were asked for: how far following an object has come."""

    seen: Callable[[int], None]
    asked: Set[int] = frozenset()

    def of(self, slices: Iterable[int]) -> dict[int, F32]:
        """Return the embeddings of these slices, as always."""
        found = super().of(slices)
        self.asked = self.asked | found.keys()
        self.seen(len(self.asked))
        return found


class VolumeMasks:
    """What is known of the masks in one volume.

    Args:
        case: the volume; its boxes do not matter.
        engine: encodes in advance.

    """

    def __init__(self, case: Case, engine: Engine) -> None:
        self.case, self.smallest_part = case, engine.calibration.smallest_part
        self.view = View(case.shape[1], case.shape[2])
        self.embeddings = SliceEmbeddings(case, self.view, engine, Stopwatch(), keep_all=True)
        self.masks: OrderedDict[Key, BoxMask] = OrderedDict()

    def known(self, mark: BoxMark) -> BoxMask | None:
        """Return the mask of a mark, if it is worked out."""
        return self.masks.get((mark.box, mark.follow))

    def missing(self, drawing: Drawing) -> list[BoxMark]:
        """Return the marks whose masks are to be worked out."""
        return [mark for mark in box_marks(drawing) if (mark.box, mark.follow) not in self.masks]

    def at_once(self, missing: list[BoxMark]) -> list[BoxMark]:
        """Return one: each takes its time, and shows when it is done."""
        return missing[:1]

    def work_out(self, marks: list[BoxMark], engine: Engine, progress: Progress) -> None:
        """Work out the mask of the only one of `marks`."""
        (mark,) = marks
        corners = np.array([mark.box], np.float64)
        found = Found(corners, {}, ())
        embeddings = self.with_engine(engine, lambda slices: progress(mark.id, slices, 0))
        if mark.follow:
            boxes = Boxes(corners, np.ones(1, np.int64), 1, frozenset({1}))
            found = find_ends(replace(self.case, boxes=boxes), embeddings, engine, Stopwatch())
        box = volume_box_of(found.corners[0], 1, self.view)
        where = box.voxels(self.view)
        mask = np.zeros(tuple(part.stop - part.start for part in where), bool)
        for done, on_slice in enumerate(masks_by_ellipsoids([box], [0], embeddings, engine, Stopwatch()), 1):
            mask[on_slice.z - box.first] = on_slice.mask
            progress(mark.id, done, len(mask))
        confidence = float(volume_confidence([box], engine)[0])
        warnings = tuple(warning.partition(": ")[2] for warning in found.warnings)  # they begin with the box's number
        way = tuple(found.masks.get(0, ()))
        self.masks[mark.box, mark.follow] = BoxMask(
            where, mask, tuple(found.corners[0].tolist()), confidence, way, warnings
        )
        while len(self.masks) > 1 and sum(one.mask.size for one in self.masks.values()) > MOST_VOXELS:
            self.masks.popitem(last=False)

    def with_engine(self, engine: Engine, seen: Callable[[int], None]) -> SliceEmbeddings:
        """Return the same embeddings, further ones encoded by `engine`; `seen` is called with how many slices were
        asked for.
        """
        shared = CountedEmbeddings(self.case, self.view, engine, Stopwatch(), keep_all=True)
        shared.kept, shared.lock, shared.seen = self.embeddings.kept, self.embeddings.lock, seen
        return shared

    def preview(self, box: tuple[int, ...], z: int, engine: Engine) -> BoxMask:
        """Return the mask of a box on slice z alone, not smoothed: quick enough to follow a drag.

        where, mask: of that slice, (H, W).
        """
        of_box = volume_box_of(np.array(box, np.float64), 1, self.view)
        section = of_box.section(min(max(z, of_box.first), of_box.last))
        clip_box = of_box.clip_box
        embedding = self.embeddings.at(z, engine, Stopwatch())
        decoded = decode(embedding, section[None], clip_box[None], engine, engine.calibration.volume_offset)
        decoding = Decoding(self.view, clip_box, decoded.low_res_logits[0])
        rows, columns, mask = object_mask([decoding], focus=engine.focus)
        return BoxMask((rows, columns), mask, tuple(map(float, box)), float("nan"))

    def encode_ahead(self, z: int, engine: Engine) -> bool:
        """Encode the nearest slice to z that is not, of those near it; returns whether there was one."""
        near = sorted(
            range(max(0, z - AHEAD), min(self.case.shape[0], z + AHEAD + 1)), key=lambda other: abs(other - z)
        )
        for other in near:
            if other not in self.embeddings.kept:
                self.embeddings.at(other, engine, Stopwatch())
                return True
        return False

    def clean(self, known: BoxMask) -> NDArray[np.bool_]:
        """Return the mask by itself: small parts dropped, and of a followed box what was found on the way, too."""
        whole = known.mask.astype(np.uint8)
        drop_small_parts(whole, 1, self.smallest_part)
        z, rows, columns = known.where
        for one in known.on_the_way:
            on_mask = np.zeros((self.view.height, self.view.width), bool)
            on_mask[one.rows, one.columns] = one.mask
            whole[one.z - z.start] &= on_mask[rows, columns]
        return whole > 0


def finish_alone(
    segs: NDArray[np.uint8] | NDArray[np.uint16], known: BoxMask, label: int, smallest_part: float
) -> None:
    """Do, in painted (D, H, W) labels, what `segment` does with the mask of a single box in the end."""
    drop_small_parts(segs[known.where], label, smallest_part)
    keep_what_following_found(segs, label, known.on_the_way)
