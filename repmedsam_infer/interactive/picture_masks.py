"""Masks of boxes on a picture: all of them at once, as `segment` does it, since boxes near each other share views."""

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.interactive.box_mask import BoxMask, Progress
from repmedsam_infer.interactive.drawing import BoxMark, Drawing, box_marks
from repmedsam_infer.preprocess import Picture, View, Zoom
from repmedsam_infer.segmentation.decode import object_mask
from repmedsam_infer.segmentation.picture import decode_picture
from repmedsam_infer.system.stopwatch import Stopwatch

F32 = NDArray[np.float32]
MOST_BYTES = 128 << 20  # of embeddings that are kept: some 70 views


class ViewEmbeddings:
    """Embeddings of the views of a picture, the latest used ones kept. Threads may share it."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.kept: OrderedDict[View, F32] = OrderedDict()
        self.lock = Lock()  # of `kept`

    def of(self, view: View, engine: Engine) -> F32:
        """Return the embedding of a view, encoded if it is not kept."""
        with self.lock:
            if view in self.kept:
                self.kept.move_to_end(view)
                return self.kept[view]
        embedding = engine.encode(self.picture.place(view))
        with self.lock:
            self.kept[view] = embedding
            while len(self.kept) * embedding.nbytes > MOST_BYTES:
                self.kept.popitem(last=False)
        return embedding


class PictureMasks:
    """What is known of the masks on one picture."""

    def __init__(self, case: Case, zoom: Zoom) -> None:
        self.picture = Picture(case.imgs)
        self.embeddings = ViewEmbeddings(self.picture)
        self.zoom = zoom
        self.boxes: tuple[tuple[int, ...], ...] = ()
        self.masks: dict[tuple[int, ...], BoxMask] = {}  # of these boxes

    def known(self, mark: BoxMark) -> BoxMask | None:
        """Return the mask of a mark, if it is worked out: that of the latest boxes."""
        return self.masks.get(mark.box)

    def missing(self, drawing: Drawing) -> list[BoxMark]:
        """Return the marks whose masks are to be worked out: all of them where any box has changed."""
        marks = box_marks(drawing)
        return marks if tuple(mark.box for mark in marks) != self.boxes else []

    def at_once(self, missing: list[BoxMark]) -> list[BoxMark]:
        """Return all: boxes near each other share views."""
        return missing

    def work_out(self, marks: list[BoxMark], engine: Engine, _progress: Progress) -> None:
        """Work out what is missing: `marks` are all of the drawing."""
        boxes = tuple(mark.box for mark in marks)
        found = decode_boxes(np.array(boxes, np.float32), self.embeddings, engine, self.zoom) if boxes else []
        self.masks = dict(zip(boxes, found, strict=True))
        self.boxes = boxes

    def preview(self, box: tuple[int, ...], _z: int, engine: Engine) -> BoxMask:
        """Return the mask of a box on the whole view alone: quick enough to follow a drag."""
        return decode_boxes(np.array([box], np.float32), self.embeddings, engine, "off")[0]

    def encode_ahead(self, _z: int, engine: Engine) -> bool:
        """Encode the whole view, if it is not; returns whether there was something to do."""
        if self.picture.whole in self.embeddings.kept:
            return False
        self.embeddings.of(self.picture.whole, engine)
        return True

    def clean(self, known: BoxMask) -> NDArray[np.bool_]:
        """Return the mask by itself; in pictures all parts of it stay."""
        return known.mask


def decode_boxes(corners: F32, embeddings: ViewEmbeddings, engine: Engine, zoom: Zoom) -> list[BoxMask]:
    """Masks of (N, 4) boxes, inclusive, in image pixels; they may overlap."""
    if not len(corners):
        return []
    whole = embeddings.picture.whole
    objects = decode_picture(whole, corners, engine, Stopwatch(), zoom, lambda view: embeddings.of(view, engine))
    found = []
    for box, decodings, dsc in zip(corners.tolist(), objects.decodings, objects.confidence.tolist(), strict=True):
        rows, columns, mask = object_mask(decodings, focus=engine.focus)
        found.append(BoxMask((rows, columns), mask, tuple(box), dsc))
    return found
