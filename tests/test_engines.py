"""Both engines run the same network: the same masks, object by object."""

from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.case import read_case
from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.conftest import write_npz

PICTURES = ("Dermoscopy", "Endoscopy", "Fundus", "Microscopy", "US", "XRay")
MIN_IOU = 0.999


def assert_same_masks(path: Path, one: Engine, other: Engine) -> None:
    case = read_case(path)
    ours, theirs = (segment(case, engine, Stopwatch()).labels for engine in (one, other))
    assert ours.any()
    for label in case.boxes.labels:
        union = ((ours == label) | (theirs == label)).sum()
        if union:
            differing = union - ((ours == label) & (theirs == label)).sum()
            assert differing <= (1 - MIN_IOU) * union, f"label {label}"


@pytest.mark.parametrize("modality", PICTURES)
def test_same_masks_of_pictures(modality: str, samples: Path, openvino_engine: Engine, torch_engine: Engine) -> None:
    assert_same_masks(samples / f"2DBox_{modality}_phantom_0000.npz", openvino_engine, torch_engine)


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_same_masks_of_volumes(modality: str, samples: Path, openvino_engine: Engine, torch_engine: Engine) -> None:
    assert_same_masks(samples / f"3DBox_{modality}_phantom_0000.npz", openvino_engine, torch_engine)


@pytest.mark.slow
@pytest.mark.real
def test_same_masks_of_real_pictures(real_cases: Path, openvino_engine: Engine, torch_engine: Engine) -> None:
    paths = sorted(real_cases.glob("2D*.npz"))
    assert paths
    for path in paths[:: max(1, len(paths) // 12)]:
        assert_same_masks(path, openvino_engine, torch_engine)


def test_both_engines_predict_the_same_iou_of_every_mask(openvino_engine: Engine, torch_engine: Engine) -> None:
    image = np.random.default_rng(0).random((3, 256, 256), dtype=np.float32)
    boxes = np.array([[10 + i, 10, 90 + 8 * i, 90] for i in range(11)], np.float32)  # more than one batch
    ours, theirs = (
        engine.decode(engine.encode(image), boxes, rois_around(boxes)) for engine in (openvino_engine, torch_engine)
    )
    assert ours.iou.shape == (11,)
    assert ours.low_res_logits.shape[0] == 11
    np.testing.assert_allclose(ours.iou, theirs.iou, atol=1e-4)
    assert len(np.unique(ours.iou)) == 11


def test_what_was_fitted_to_the_weights_comes_with_them(
    weights: Weights, openvino_engine: Engine, torch_engine: Engine
) -> None:
    assert weights.calibration() == openvino_engine.calibration == torch_engine.calibration != Calibration()


def test_results_belong_to_the_caller(openvino_engine: Engine) -> None:
    """OpenVINO reuses its output tensors: what was returned must not change with the next call."""
    rng = np.random.default_rng(0)
    first = openvino_engine.encode(rng.random((3, 256, 256), dtype=np.float32))
    kept = first.copy()
    openvino_engine.encode(rng.random((3, 256, 256), dtype=np.float32))
    np.testing.assert_array_equal(first, kept)

    box = np.array([[10, 10, 90, 90]], np.float32)
    decoded = openvino_engine.decode(first, box, rois_around(box))
    kept_logits, kept_iou = (part.copy() for part in decoded)
    openvino_engine.decode(first, box + 50, rois_around(box))
    np.testing.assert_array_equal(decoded.low_res_logits, kept_logits)
    np.testing.assert_array_equal(decoded.iou, kept_iou)


def test_the_same_case_gives_the_same_mask_twice(samples: Path, openvino_engine: Engine) -> None:
    case = read_case(samples / "2DBox_US_phantom_0000.npz")
    once, again = (segment(case, openvino_engine, Stopwatch()).labels for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_many_boxes_on_one_view_decode_as_each_alone(openvino_engine: Engine, tmp_path: Path, samples: Path) -> None:
    with np.load(samples / "2DBox_Microscopy_phantom_0000.npz") as data:
        imgs, boxes = data["imgs"], data["boxes"]
    together = segment(
        read_case(samples / "2DBox_Microscopy_phantom_0000.npz"), openvino_engine, Stopwatch(), "off"
    ).labels
    for i in (0, 17, 39):
        alone = read_case(write_npz(tmp_path / "one.npz", imgs=imgs, boxes=boxes[i : i + 1]))
        mask = segment(alone, openvino_engine, Stopwatch(), "off").labels == 1
        covered = mask & (together > 0) & (together != i + 1)  # by smaller boxes
        assert ((mask & ~covered) != (together == i + 1)).mean() < 1e-4
