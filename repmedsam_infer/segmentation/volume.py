"""Volumes: where objects end, if it is not given; their labels by one of two ways; how sure the masks are."""

from dataclasses import replace

import numpy as np

from repmedsam_infer.case import Case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.preprocess import View
from repmedsam_infer.segmentation.ellipsoid import label_by_ellipsoids, volume_confidence
from repmedsam_infer.segmentation.embeddings import SliceEmbeddings
from repmedsam_infer.segmentation.follow import label_by_following
from repmedsam_infer.segmentation.open_ended import Found, find_ends, keep_what_following_found
from repmedsam_infer.segmentation.propagation import Propagation
from repmedsam_infer.segmentation.segmented import Segmented
from repmedsam_infer.system.stopwatch import Stopwatch


def segment_volume(case: Case, engine: Engine, watch: Stopwatch, propagation: Propagation) -> Segmented:
    """Segment all usable boxes of a volume; confidence is that of masks by ellipsoids, and NaN with `follow`.

    Raises:
        SetupError: a box is open-ended, and the weights have nothing that finds its ends.

    """
    embeddings = SliceEmbeddings(case, View(*case.shape[1:]), engine, watch)
    found = Found(case.boxes.corners, {}, ())
    if case.boxes.open_ended:
        found = find_ends(case, embeddings, engine, watch)
        case = replace(case, boxes=replace(case.boxes, corners=found.corners, open_ended=frozenset()))
    if propagation == "follow":
        segs = label_by_following(case, embeddings, engine, watch)
        confidence = np.full(len(case.boxes.labels), np.nan, np.float32)
        return Segmented(segs, confidence, found.corners, found.warnings)
    segs, boxes = label_by_ellipsoids(case, embeddings, engine, watch)
    with watch("postprocess"):
        for i, masks in found.masks.items():
            keep_what_following_found(segs, boxes[i].label, masks)
        confidence = volume_confidence(boxes, engine)
    return Segmented(segs, confidence, found.corners, found.warnings)
