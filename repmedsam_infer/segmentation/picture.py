"""Pictures: every box on the whole view, fitted to what is in it, and small ones on close views besides."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import bottom_to_top
from repmedsam_infer.case import Case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.postprocess import paint
from repmedsam_infer.preprocess import Picture, View, Zoom, close_views
from repmedsam_infer.segmentation.box_fit import fit_boxes
from repmedsam_infer.segmentation.decode import Decoding, decode, object_mask
from repmedsam_infer.segmentation.segmented import Segmented
from repmedsam_infer.system.stopwatch import Stopwatch

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class PictureObjects:
    """N objects of a picture.

    decodings: of each on the whole view first, then on others; logits have the offset of pictures.
    confidence: (N,) the DSC that the mask of each is estimated to have; NaN where nothing estimates it.
    """

    decodings: list[list[Decoding]]
    confidence: F32


def segment_picture(case: Case, engine: Engine, watch: Stopwatch, zoom: Zoom) -> Segmented:
    """Segment all usable boxes of a picture: one encoding and one batch of boxes for each view."""
    segs = case.empty_segmentation()
    if not len(case.boxes.labels):
        return Segmented(segs, np.zeros(0, np.float32), case.boxes.corners)
    picture = Picture(case.imgs)

    def encode(view: View) -> F32:
        with watch("preprocess"):
            placed = picture.place(view)
        with watch("encode"):
            return engine.encode(placed)

    objects = decode_picture(picture.whole, case.boxes.corners.astype(np.float32), engine, watch, zoom, encode)
    with watch("postprocess"):
        for i in bottom_to_top(case.boxes.corners):
            rows, columns, mask = object_mask(objects.decodings[i], focus=engine.focus)
            paint(segs[rows, columns], mask, int(case.boxes.labels[i]))
    return Segmented(segs, objects.confidence, case.boxes.corners)


def decode_picture(
    whole: View,
    corners: F32,
    engine: Engine,
    watch: Stopwatch,
    zoom: Zoom,
    encode: Callable[[View], F32],
) -> PictureObjects:
    """Decode N boxes.

    Args:
        whole: the whole view.
        corners: (N, 4) inclusive, in image pixels.
        engine: decodes.
        watch: times decoding.
        zoom: how many close views there may be.
        encode: gives the embedding of a view.

    """
    embedding = encode(whole)
    with watch("decode"):
        fitted = fit_boxes(corners, whole, embedding, engine)
    decodings = [
        [Decoding(whole, clip_box, logits)]
        for clip_box, logits in zip(whole.place_boxes(fitted.corners), fitted.logits, strict=True)
    ]
    views = further_views(corners, whole, zoom) if engine.focus else []
    for view, shown in views:
        clip_boxes = view.place_boxes(fitted.corners[shown])
        embedding = encode(view)
        with watch("decode"):
            logits = decode(embedding, clip_boxes, clip_boxes, engine, engine.calibration.picture_offset).low_res_logits
        for i, clip_box, of_box in zip(shown.tolist(), clip_boxes, logits, strict=True):
            decodings[i].append(Decoding(view, clip_box, of_box))
    return PictureObjects(decodings, fitted.confidence)


def further_views(corners: F32, whole: View, zoom: Zoom) -> list[tuple[View, NDArray[np.intp]]]:
    """Return the views besides the whole one, each with the indices of the boxes that are decoded on it.

    With `full` every view is encoded a second time, mirrored: the network does not answer quite the same.
    """
    close = close_views(corners, whole, zoom)
    if zoom != "full":
        return close
    seen = [(whole, np.arange(len(corners), dtype=np.intp)), *close]
    return [*close, *((replace(view, mirrored=True), shown) for view, shown in seen)]
