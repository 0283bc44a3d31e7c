"""The engine onnxruntime: its threads and workers, what it refuses and says then. Its masks: test_onnx_export.py."""

import json
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnxruntime
from onnx import TensorProto

from repmedsam_infer.commands.environment import ENGINES
from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.load import EngineName, load_engine, load_engines
from repmedsam_infer.engines.onnx.engine import OnnxEngine
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import SetupError, UsageError
from tests.conftest import Repmedsam, good_box, good_image, write_npz
from tests.onnx_graphs import METADATA, small_decoder, small_encoder, weights_of, with_numbers_in


@pytest.fixture
def small(tmp_path: Path) -> Weights:
    folder = tmp_path / "small"
    folder.mkdir()
    return weights_of(folder, {"encoder.onnx": small_encoder(), "decoder.onnx": small_decoder()})


def test_it_runs_the_two_files(small: Weights) -> None:
    engine = load_engine("onnxruntime", small, 1)
    image = np.random.default_rng(0).random((3, 256, 256), dtype=np.float32)
    embedding = engine.encode(image)
    np.testing.assert_allclose(embedding, image.reshape(3, 16, 16, 16, 16).mean((2, 4)), atol=1e-6)
    boxes = np.arange(44, dtype=np.float32).reshape(11, 4)  # more than one batch
    logits, iou = engine.decode(embedding, boxes, boxes)
    np.testing.assert_allclose(iou, 2 * boxes.mean(1))
    np.testing.assert_allclose(logits, np.tile(2 * boxes.mean(1)[:, None, None], (1, 64, 64)))
    assert (engine.name, engine.version, engine.precision) == ("onnxruntime", onnxruntime.__version__, "fp32")
    assert (engine.grid, engine.focus) == (16, True)


def test_what_was_fitted_to_the_weights_comes_with_the_files(small: Weights) -> None:
    engine = load_engine("onnxruntime", small, 1)
    assert engine.calibration == Calibration(picture_offset=0.25, smallest_part=0.1)
    assert engine.confidence is None


@pytest.mark.parametrize(
    ("threads", "jobs", "volumes", "workers", "of_session"),
    [
        (4, 1, False, 1, 4),
        (4, 1, True, 4, 1),
        (4, 2, False, 1, 3),
        (4, 2, True, 2, 1),
        (1, 1, True, 1, 1),
        (2, 4, False, 1, 1),
    ],
)
def test_all_engines_together_use_the_threads_that_they_may(
    threads: int, jobs: int, volumes: bool, workers: int, of_session: int, small: Weights
) -> None:
    """A session computes in the thread that calls it, and in threads of its own, which all callers share."""
    engines = load_engines("onnxruntime", small, threads, "auto", volumes=volumes, jobs=jobs)
    assert [len(engine.workers) for engine in engines] == [workers] * jobs
    sessions = [
        session
        for engine in engines
        for worker in engine.workers
        if isinstance(worker, OnnxEngine)
        for session in (worker.encoder, worker.decoder)
    ]
    assert len(sessions) == 2 * jobs * workers
    assert len(set(map(id, sessions))) == 2
    assert {one.get_session_options().intra_op_num_threads for one in sessions} == {of_session}
    assert {provider for one in sessions for provider in one.get_providers()} == {"CPUExecutionProvider"}


def test_telemetry_is_off(small: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: done.append("off"))
    load_engine("onnxruntime", small, 1)
    assert done == ["off"]


def test_where_the_files_are_missing_the_command_that_makes_them_is_named(
    weights: Weights, repmedsam: Repmedsam, tmp_path: Path
) -> None:
    (tmp_path / "cases").mkdir()
    write_npz(tmp_path / "cases" / "2D.npz", imgs=good_image(), boxes=good_box())
    done = repmedsam("predict", "-i", tmp_path / "cases", "-o", tmp_path / "segs", "--engine", "onnxruntime")
    assert done.code == 3
    assert f"repmedsam-train export {weights.folder / 'repmedsam.safetensors'} onnx --onnx" in done.err
    assert "--weights onnx" in done.err


def test_without_onnx_runtime_the_extra_is_named(small: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SetupError, match=r"pip install 'repmedsam\[onnx\]'"):
        load_engine("onnxruntime", small, 1)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_it_runs_in_fp32_only(precision: str, small: Weights) -> None:
    with pytest.raises(UsageError, match="fp32 only"):
        load_engine("onnxruntime", small, 1, precision)


def test_files_that_were_changed_are_refused(small: Weights) -> None:
    path = small.folder / "decoder.onnx"
    path.write_bytes(path.read_bytes().replace(b"iou", b"uoi"))
    with pytest.raises(SetupError, match="SHA-256 differs"):
        load_engine("onnxruntime", small, 1)


WRONG: dict[str, dict[str, Any]] = {
    "cut off": {"encoder.onnx": small_encoder()[:-40]},
    "empty": {"encoder.onnx": b""},
    "no ONNX": {"encoder.onnx": b"<net/>" * 100},
    "another image size": {"encoder.onnx": small_encoder(side=128)},
    "another input": {"encoder.onnx": small_encoder(image="picture")},
    "other numbers": {"encoder.onnx": small_encoder(dtype=TensorProto.DOUBLE)},
    "the decoder twice": {"encoder.onnx": small_decoder()},
    "the encoder twice": {"decoder.onnx": small_encoder()},
    "another prompt": {"decoder.onnx": small_decoder(boxes="points")},
    "logits of another kind": {"decoder.onnx": small_decoder(side=63)},
    "logits without end": {"decoder.onnx": small_decoder(embedded=(1 << 20, 16, 16))},
    "another embedding": {"decoder.onnx": small_decoder(embedded=(3, 8, 8))},
    "numbers outside the folder": {"decoder.onnx": with_numbers_in("../numbers", small_decoder())},
    "numbers in any place": {"decoder.onnx": with_numbers_in("/etc/passwd", small_decoder())},
    "an offset out of range": {"decoder.onnx": small_decoder(metadata={**METADATA, "picture_offset": "1e9"})},
    "an offset that is a word": {"decoder.onnx": small_decoder(metadata={**METADATA, "picture_offset": "often"})},
}


@pytest.mark.parametrize("what", WRONG)
def test_files_that_are_no_networks_of_ours_are_one_message(
    what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = weights_of(tmp_path, {"encoder.onnx": small_encoder(), "decoder.onnx": small_decoder()} | WRONG[what])
    with pytest.raises(SetupError, match="ONNX Runtime cannot load") as refused:
        load_engine("onnxruntime", found, 1)
    assert str(tmp_path) in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_info_names_every_engine_and_describes_a_folder_of_onnx_files(small: Weights, repmedsam: Repmedsam) -> None:
    assert get_args(EngineName) == ENGINES
    told = json.loads(repmedsam("info", "--weights", small.folder).out)
    assert told["engines"]["onnxruntime"] == onnxruntime.__version__
    assert told["weights"]["files"] == ["decoder.onnx", "encoder.onnx"]
