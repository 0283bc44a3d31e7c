"""Masks survive the way through logits as well as their size allows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.evaluation.metrics import dsc
from repmedsam_infer.preprocess import View
from repmedsam_train.comparison.ceiling import WAYS, ceilings, signed_distance, table, through_logits


def disc(height: int, width: int, radius: float) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    y, x = np.mgrid[:height, :width]
    return np.hypot(y - height / 2, x - width / 2) < radius


@given(height=st.integers(120, 700), width=st.integers(120, 700))
def test_a_large_disc_passes_nearly_whole(height: int, width: int) -> None:
    gt = disc(height, width, min(height, width) / 3)
    view = View(height, width)
    assert dsc(gt, through_logits(gt, view, 256)) > 0.98
    assert dsc(gt, through_logits(gt, view, 64)) > 0.95


def test_finer_logits_are_never_much_worse() -> None:
    for radius in (3, 5, 10, 40):
        gt = disc(300, 256, radius)
        scores = [dsc(gt, through_logits(gt, View(300, 256), side)) for cover, side in WAYS if cover == "frame"]
        assert scores[1] > scores[0] - 0.02
        assert scores[2] > scores[1] - 0.02


@given(radius=st.floats(1.5, 100))
def test_through_an_roi_small_objects_pass_as_well_as_large_ones(radius: float) -> None:
    gt = disc(300, 256, radius)
    ys, xs = np.nonzero(gt)
    view = View(300, 256)
    box = view.place_boxes(np.array([[xs.min(), ys.min(), xs.max(), ys.max()]], np.float32))
    assert dsc(gt, through_logits(gt, view, 64, rois_around(box)[0])) > 0.97


def test_the_signed_distance_changes_sign_at_the_border() -> None:
    gt = disc(50, 60, 12)
    signed = signed_distance(gt)
    np.testing.assert_array_equal(signed > 0, gt)
    assert signed.max() == pytest.approx(12, abs=1)


@pytest.mark.slow
def test_the_table_has_modalities_their_mean_and_sizes(samples: Path) -> None:
    objects = [one for one in ceilings(samples) if one.modality in ("US", "Fundus")]
    lines = table(objects).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["Fundus", "US", "mean over modalities"]
    assert all("pixels" in line for line in lines[5:])
    assert len(objects) == 3
