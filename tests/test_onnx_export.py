"""ONNX files of the shipped weights: what they are, that they compute what the network does, and where they are put."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import onnx
import torch
from onnx import TensorProto

from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.weights import CONFIDENCE, STORE, SUMS, Weights, find_weights
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.network import RepMedSAM
from repmedsam_train.weights import onnx_folder
from repmedsam_train.weights.onnx_export import OPSET, check_equal, onnx_files
from repmedsam_train.weights.onnx_folder import export_onnx
from tests.onnx_graphs import small_decoder, small_encoder, weights_of
from tests.seeded import fill
from tests.test_engines import PICTURES, assert_same_masks
from tests.test_extras import train

FILES = {"encoder.onnx", "decoder.onnx"}


@pytest.fixture(scope="module")
def onnx_engine(onnx_weights: Weights) -> Engine:
    return load_engine("onnxruntime", onnx_weights, 2)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Small graphs in place of the network's, which take a quarter of a minute; the metadata that they were to have."""
    told: dict[str, str] = {}

    def files(model: RepMedSAM, metadata: dict[str, str]) -> dict[str, bytes]:
        told.update(metadata)
        return {"encoder.onnx": small_encoder(), "decoder.onnx": small_decoder()}

    monkeypatch.setattr(onnx_folder, "onnx_files", files)
    return told


@pytest.fixture(scope="module")
def network() -> RepMedSAM:
    return RepMedSAM(focus=True)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 8, 21])
def test_they_compute_what_torch_does(count: int, onnx_engine: Engine, torch_engine: Engine) -> None:
    rng = np.random.default_rng(count)
    image = rng.random((3, 256, 256), dtype=np.float32)
    boxes = np.sort(rng.random((count, 2, 2), dtype=np.float32) * 300 - 20, axis=1).reshape(count, 4)
    embedding = torch_engine.encode(image)
    assert np.abs(onnx_engine.encode(image) - embedding).max() <= 1e-4 * np.abs(embedding).max()
    ours, theirs = (engine.decode(embedding, boxes, rois_around(boxes)) for engine in (onnx_engine, torch_engine))
    assert np.abs(ours.low_res_logits - theirs.low_res_logits).max() <= 1e-4 * np.abs(theirs.low_res_logits).max()
    np.testing.assert_allclose(ours.iou, theirs.iou, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*(f"2DBox_{modality}" for modality in PICTURES), "3DBox_CT", "3DBox_MR"])
def test_masks_are_those_of_openvino(case: str, samples: Path, onnx_engine: Engine, openvino_engine: Engine) -> None:
    assert onnx_engine.confidence is not None
    assert_same_masks(samples / f"{case}_phantom_0000.npz", onnx_engine, openvino_engine)


@pytest.mark.slow
def test_slices_of_a_volume_may_be_done_at_the_same_time(
    samples: Path, onnx_weights: Weights, openvino_engine: Engine
) -> None:
    engine = load_engine("onnxruntime", onnx_weights, 2, volumes=True)
    assert len(engine.workers) == 2
    assert_same_masks(samples / "3DBox_MR_phantom_0000.npz", engine, openvino_engine)


@pytest.mark.slow
def test_they_are_small_plain_and_say_what_they_are(onnx_weights: Weights, weights: Weights) -> None:
    store = weights.folder / STORE
    for name in FILES:
        path = onnx_weights.folder / name
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
        assert not model.functions
        assert all(not tensor.external_data for tensor in model.graph.initializer)
        told = {one.key: one.value for one in model.metadata_props}
        assert Calibration.from_metadata(told) == weights.calibration()
        assert (told["grid"], told["focus"]) == ("16", "true")
        assert told["source_sha256"] == hashlib.sha256(store.read_bytes()).hexdigest()
        assert "Not a medical device" in told["intended_use"]
        assert "CC BY-SA 4.0" in told["licence"]
        assert b".py" not in path.read_bytes()  # no places in sources
    assert sum((onnx_weights.folder / name).stat().st_size for name in FILES) < 1.01 * store.stat().st_size


@pytest.mark.slow
def test_their_large_constants_are_the_numbers_that_are_shipped(onnx_weights: Weights) -> None:
    for name in FILES:
        large = [one for one in onnx.load(onnx_weights.folder / name).graph.initializer if np.prod(one.dims) > 50_000]
        assert large
        assert {one.data_type for one in large} == {TensorProto.FLOAT16}


@pytest.mark.slow
def test_a_network_without_focus_has_no_rois(tmp_path: Path) -> None:
    model = RepMedSAM(grid=16)
    fill(model, 3)
    engine = load_engine("onnxruntime", weights_of(tmp_path, onnx_files(model, {})), 2)
    assert not engine.focus
    assert engine.calibration == Calibration()
    boxes = np.array([[10, 20, 90, 80]], np.float32)
    decoded = engine.decode(engine.encode(np.zeros((3, 256, 256), np.float32)), boxes, boxes)
    assert decoded.low_res_logits.shape == (1, 64, 64)


@pytest.mark.slow
def test_a_package_that_is_missing_is_named_before_anything_is_done(tmp_path: Path) -> None:
    done = train("export", "model.safetensors", "weights", "--onnx", folder=tmp_path, blocked=("onnxscript",))
    wanted = "error: this command needs the package onnxscript: pip install 'repmedsam[train]'\n"
    assert (done.returncode, done.stderr) == (3, wanted)


class Pool(torch.nn.Module):
    """What `small_encoder` computes, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.factor * torch.nn.functional.avg_pool2d(image, 16)


def test_a_graph_that_computes_something_else_is_refused() -> None:
    image = torch.rand((1, 3, 256, 256), generator=torch.Generator().manual_seed(0))
    check_equal(Pool(1), small_encoder(), "encoder.onnx", [(image,)])
    for factor in (1.001, float("nan")):
        with pytest.raises(SetupError, match=r"encoder.onnx does not give what torch gives"):
            check_equal(Pool(factor), small_encoder(), "encoder.onnx", [(image,)])


def test_another_folder_becomes_one_of_weights_with_confidence(
    quick: dict[str, str], network: RepMedSAM, weights: Weights, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "onnx"
    for _ in range(2):  # over what is there
        export_onnx(network, weights.folder / STORE, folder, Calibration(volume_offset=0.5))
    found = find_weights(folder)
    assert set(found.sums) == {
        *FILES,
        CONFIDENCE,
    }
    assert load_engine("onnxruntime", found, 1).confidence is not None
    assert Calibration.from_metadata(quick) == Calibration(volume_offset=0.5)
    assert quick["licence"].startswith("The weights in this folder")


def test_in_their_own_folder_they_are_added_to_the_weights(
    quick: dict[str, str], network: RepMedSAM, weights: Weights, tmp_path: Path
) -> None:
    for name in (STORE, SUMS, CONFIDENCE):
        shutil.copy(weights.folder / name, tmp_path)
    export_onnx(network, tmp_path / STORE, tmp_path, Calibration())
    found = find_weights(tmp_path)
    assert found.sums == weights.sums | {name: found.sums[name] for name in FILES}
    found.verified(*FILES, STORE, CONFIDENCE)


def test_weights_of_a_run_have_neither_licence_nor_confidence(
    quick: dict[str, str], network: RepMedSAM, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"numbers")
    export_onnx(network, model, tmp_path / "onnx", Calibration())
    assert set(find_weights(tmp_path / "onnx").sums) == FILES
    assert "licence" not in quick


def test_a_network_that_lies_beside_other_weights_takes_nothing_of_theirs(
    quick: dict[str, str], network: RepMedSAM, weights: Weights, tmp_path: Path
) -> None:
    for name in (STORE, SUMS, CONFIDENCE):
        shutil.copy(weights.folder / name, tmp_path)
    (tmp_path / "LICENSE").write_text("of the others")
    (tmp_path / "mine.safetensors").write_bytes(b"numbers")
    export_onnx(network, tmp_path / "mine.safetensors", tmp_path / "onnx", Calibration())
    assert set(find_weights(tmp_path / "onnx").sums) == FILES
    assert "licence" not in quick


def test_weights_that_were_changed_are_not_exported(network: RepMedSAM, weights: Weights, tmp_path: Path) -> None:
    shutil.copy(weights.folder / SUMS, tmp_path)
    (tmp_path / STORE).write_bytes(b"changed")
    with pytest.raises(SetupError, match="damaged or was changed"):
        export_onnx(network, tmp_path / STORE, tmp_path / "onnx", Calibration())


def test_a_folder_of_other_weights_is_refused(network: RepMedSAM, weights: Weights, tmp_path: Path) -> None:
    (tmp_path / STORE).write_bytes(b"others")
    with pytest.raises(UsageError, match="holds other weights"):
        export_onnx(network, weights.folder / STORE, tmp_path, Calibration())
    assert [path.name for path in tmp_path.iterdir()] == [STORE]


def test_a_folder_that_cannot_be_written_is_a_usage_error(
    quick: dict[str, str], network: RepMedSAM, weights: Weights, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        export_onnx(network, weights.folder / STORE, tmp_path / "file", Calibration())


def test_training_cases_are_for_int8_only(tmp_path: Path) -> None:
    done = train(
        "export", "model.safetensors", "weights", "--onnx", "--train", "cases", folder=tmp_path, blocked=("none",)
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --train is for the int8 encoder")
