"""Fitting chooses what scores best on training cases, and the network is asked but once for all that is tried."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.errors import UsageError
from repmedsam_train.weights.calibrate import PICTURE_STEPS, VOLUME_STEPS, Tried, calibrate
from tests.conftest import write_npz
from tests.test_segment import BoxEngine, volume

BOX = (60, 80, 160, 140)  # of a picture of 256 x 256, which is its own frame


def filled_boxes(folder: Path, volumes: bool) -> Path:
    """A case whose object is its box, which BoxEngine leaves by `shrink` pixels."""
    x0, y0, x1, y1 = BOX
    gts = np.zeros((3, 256, 256), np.uint8)
    gts[:, y0 : y1 + 1, x0 : x1 + 1] = 1
    if volumes:
        write_npz(folder / "3DBox_CT_a_0.npz", imgs=volume(3), gts=gts, boxes=np.array([[x0, y0, 0, x1, y1, 2]]))
    else:
        write_npz(folder / "2DBox_US_a_0.npz", imgs=volume(1)[0], gts=gts[0], boxes=np.array([BOX]))
    return folder


@pytest.mark.parametrize("shrink", [0.7, 0.0])
def test_the_offset_of_pictures_brings_a_network_that_draws_too_small_to_the_border(
    shrink: float, tmp_path: Path
) -> None:
    engine, tried = BoxEngine(shrink), list[Tried]()
    fitted = calibrate(engine, filled_boxes(tmp_path, volumes=False), tried.append)
    assert fitted == Calibration(picture_offset=0.25 if shrink else 0.0)  # centres of pixels lie half a pixel inside
    assert [(one.field, one.value) for one in tried] == [(field, v) for field, vs in PICTURE_STEPS for v in vs]
    assert max(one.score for one in tried) == 1
    assert len(engine.images) == len(engine.batches) == 1


def test_volumes_have_values_of_their_own(tmp_path: Path) -> None:
    engine, tried = BoxEngine(), list[Tried]()
    fitted = calibrate(engine, filled_boxes(tmp_path, volumes=True), tried.append)
    assert fitted.picture_offset == 0  # there was no picture to fit it to
    assert fitted.volume_offset > 0  # sections are smaller than this object
    assert {one.field for one in tried} == {field for field, _ in VOLUME_STEPS}
    assert len(engine.images) == 3


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no .npz files"):
        calibrate(BoxEngine(), tmp_path, list[Tried]().append)
