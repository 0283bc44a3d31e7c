"""Sample cases are real cases: complete, reproducible, their boxes those of their labels."""

from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.boxes import tight_boxes
from repmedsam_infer.case import read_case
from repmedsam_infer.evaluation.phantoms import PHANTOMS, write_samples


@pytest.mark.parametrize("name", PHANTOMS)
def test_a_sample_is_a_case_with_ground_truth(name: str, samples: Path) -> None:
    case = read_case(samples / f"{name}.npz")
    assert case.warnings == ()
    with np.load(samples / f"{name}.npz") as data:
        gts, boxes = data["gts"], data["boxes"]
    assert gts.shape == case.shape
    np.testing.assert_array_equal(boxes, tight_boxes(gts))
    assert np.unique(gts).tolist() == list(range(len(boxes) + 1))
    assert case.is_volume == (case.spacing is not None)


def test_samples_are_the_same_every_time(samples: Path, tmp_path: Path) -> None:
    for path in write_samples(tmp_path):
        with np.load(path) as ours, np.load(samples / path.name) as theirs:
            for key in theirs:
                np.testing.assert_array_equal(ours[key], theirs[key])
