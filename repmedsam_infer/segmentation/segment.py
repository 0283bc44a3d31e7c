"""The page to read first: a case in, its labels out, and how sure each mask is.

    image ── preprocess ──> frame ── encode, once a slice ──> embedding
    boxes ──────────────────────────────────────────────────────┴─ decode, all boxes at once ──> logits ──> labels

The decoder's ROI is little larger than a box (decoder_roi.py). A picture is one slice (picture.py): small boxes on it
get a close view besides the whole one, and the logits of both are averaged (preprocess.py); a box that seems loose or
small is replaced by one that fits better (box_fit.py). A volume is segmented slice by slice (volume.py), each box
prompting its slices with sections of the ellipsoid that fills it. Offsets, smoothing, the smallest part and what
estimates confidence are fitted to the weights and come with them (engines/calibration.py, engines/confidence.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.preprocess import Zoom
from repmedsam_infer.segmentation.picture import segment_picture
from repmedsam_infer.segmentation.volume import segment_volume
from repmedsam_infer.system.stopwatch import Stopwatch

DOUBTFUL = 0.7  # masks whose confidence is lower are flagged
MOST_NAMED = 5  # of them in a warning


@dataclass(frozen=True)
class Segmented:
    """What comes of a case.

    labels: (H, W) or (D, H, W) of all usable boxes, uint8 or uint16.
    confidence: (K,) float32, of each usable box in the order of `case.boxes`: the DSC, 0 to 1, that its mask is
        estimated to have; NaN where the weights have nothing to estimate it with.
    """

    labels: Segmentation
    confidence: NDArray[np.float32]


def segment(case: Case, engine: Engine, watch: Stopwatch, zoom: Zoom = "auto") -> Segmented:
    """Segment all usable boxes of a case. Volumes have no close views."""
    if case.is_volume:
        return Segmented(*segment_volume(case, engine, watch))
    return Segmented(*segment_picture(case, engine, watch, zoom))


def doubts(labels: NDArray[np.integer], confidence: NDArray[np.float32]) -> Sequence[str]:
    """Return a warning where masks are estimated to be poor: (K,) labels, and their confidence as of `Segmented`."""
    poor = [i for i in np.argsort(confidence, kind="stable").tolist() if confidence[i] < DOUBTFUL]
    if not poor:
        return []
    which = ", ".join(f"{labels[i]} ({confidence[i]:.2f})" for i in poor[:MOST_NAMED])
    more = ", ..." if len(poor) > MOST_NAMED else ""
    return [f"low confidence in {len(poor)} of {len(labels)} masks, check them: label {which}{more}"]
