"""The page to read first: a case in, its labels out, and how sure each mask is.

    image ── preprocess ──> frame ── encode, once a slice ──> embedding
    boxes ──────────────────────────────────────────────────────┴─ decode, all boxes at once ──> logits ──> labels

The decoder's ROI is little larger than a box (decoder_roi.py). A picture is one slice (picture.py): small boxes on it
get a close view besides the whole one, and the logits of both are averaged (preprocess.py); a box that seems loose or
small is replaced by one that fits better (box_fit.py). A volume (volume.py) is segmented slice by slice, each box
prompting its slices with sections of the ellipsoid that fills it (ellipsoid.py). A box on one slice of it is followed
first, from slice to slice, until its object ends (open_ended.py, follow.py). Offsets, smoothing, the smallest part and
what estimates confidence are fitted to the weights and come with them (engines/calibration.py, engines/confidence.py).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.preprocess import Zoom
from repmedsam_infer.segmentation.picture import segment_picture
from repmedsam_infer.segmentation.propagation import Propagation
from repmedsam_infer.segmentation.segmented import Segmented
from repmedsam_infer.system.stopwatch import Stopwatch

DOUBTFUL = 0.7  # masks whose confidence is lower are flagged
MOST_NAMED = 5  # of them in a warning


def segment(
    case: Case, engine: Engine, watch: Stopwatch, zoom: Zoom = "auto", propagation: Propagation = "ellipsoid"
) -> Segmented:
    """Segment all usable boxes of a case. Zoom is for pictures, propagation for volumes.

    Raises:
        SetupError: a box is open-ended, and the weights have nothing that finds its ends.

    """
    if case.is_volume:
        from repmedsam_infer.segmentation.volume import segment_volume  # not needed for pictures, at each start

        return segment_volume(case, engine, watch, propagation)
    return segment_picture(case, engine, watch, zoom)


def doubts(labels: NDArray[np.integer], confidence: NDArray[np.float32]) -> Sequence[str]:
    """Return a warning where masks are estimated to be poor: (K,) labels, and their confidence as of `Segmented`."""
    poor = [i for i in np.argsort(confidence, kind="stable").tolist() if confidence[i] < DOUBTFUL]
    if not poor:
        return []
    which = ", ".join(f"{labels[i]} ({confidence[i]:.2f})" for i in poor[:MOST_NAMED])
    more = ", ..." if len(poor) > MOST_NAMED else ""
    return [f"low confidence in {len(poor)} of {len(labels)} masks, check them: label {which}{more}"]
