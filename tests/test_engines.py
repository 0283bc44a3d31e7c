"""Both engines run the same network: the same masks, object by object."""

from pathlib import Path

import numpy as np
import openvino
import pytest

from repmedsam_infer.case import read_case
from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines import openvino_networks
from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.openvino_networks import with_settings
from repmedsam_infer.engines.weights import STORE, Weights
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


def test_the_encoder_in_bf16_is_as_close_to_fp32_as_that_in_fp32_computed_in_bf16(weights: Weights) -> None:
    """Where the processor has no bf16, OpenVINO computes both in fp32."""
    core = openvino.Core()
    computes = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    image = np.random.default_rng(0).random((1, 3, 256, 256), np.float32)
    embeddings = []
    for graph, arithmetic in (("encoder", "f32"), ("encoder_bf16", "bf16"), ("encoder", "bf16")):
        model = core.read_model(*weights.verified(f"{graph}.xml", STORE))
        network = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": arithmetic if computes else "f32"})
        embeddings.append(network(image)[0])
    exact, ours, theirs = embeddings
    scale = np.abs(exact).mean()
    assert np.abs(ours - exact).mean() < max(1.2 * np.abs(theirs - exact).mean(), 1e-5 * scale) < 0.02 * scale


def test_a_setting_that_openvino_may_lack_is_left_out_where_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    node = openvino.opset13.parameter([1, 3], openvino.Type.f32)
    graph = openvino.Model([openvino.opset13.relu(node)], [node])

    def compile_with(settings: dict[str, str]) -> openvino.CompiledModel:
        return openvino.Core().compile_model(graph, "CPU", settings)

    monkeypatch.setattr(openvino_networks, "QUICKER", {"NO_SUCH_SETTING": "1"})
    assert with_settings(compile_with, {"NUM_STREAMS": "1", "NO_SUCH_SETTING": "1"})
    with pytest.raises(RuntimeError):
        with_settings(compile_with, {"ANOTHER": "1"})


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
