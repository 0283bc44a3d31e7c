"""DSC of the shipped weights on every drawn sample, as it was measured once: where it changes, masks have changed."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from repmedsam_infer.case import read_case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.evaluation.evaluate import read_ground_truth, score_labels
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch

GOLDEN = {
    "2DBox_Dermoscopy_phantom_0000": 0.9624,
    "2DBox_Endoscopy_phantom_0000": 0.9717,
    "2DBox_Fundus_phantom_0000": 0.9651,
    "2DBox_Microscopy_phantom_0000": 0.9559,  # without close views 0.9489
    "2DBox_US_phantom_0000": 0.9529,
    "2DBox_XRay_phantom_0000": 0.9788,
    "3DBox_CT_phantom_0000": 0.9389,
    "3DBox_MR_phantom_0000": 0.9775,
}
TOLERANCE = 0.002  # processors and versions of OpenVINO round differently


def test_every_sample_is_scored(samples: Path) -> None:
    assert {path.name for path in samples.glob("*.npz")} == {f"{name}.npz" for name in GOLDEN}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_sample_scores_as_it_did(name: str, samples: Path, openvino_engine: Engine) -> None:
    path = samples / f"{name}.npz"
    gts, spacing = read_ground_truth(path)
    segs = segment(read_case(path), openvino_engine, Stopwatch()).labels
    assert score_labels(gts, segs, spacing, challenge=False).dsc == pytest.approx(GOLDEN[name], abs=TOLERANCE)
    assert np.unique(segs).size == gts.max() + 1
