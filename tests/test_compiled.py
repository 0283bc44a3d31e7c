"""Compiled networks: found only where they fit, never trusted when damaged, and giving the very same masks."""

from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.engines import compiled_cache as compiled
from repmedsam_infer.engines.compiled_cache import CompiledNetworks
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.openvino import OpenVINOEngine, in_parallel, load_networks
from repmedsam_infer.engines.weights import CONFIDENCE, Weights
from tests.conftest import Repmedsam

IMAGE = np.random.default_rng(0).random((3, 256, 256), dtype=np.float32)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, weights: Weights) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    load_networks(weights, 2, "fp32", 1, CompiledNetworks(folder), keep=True)
    return folder


def loaded(weights: Weights, folder: Path, threads: int = 2) -> OpenVINOEngine:
    return OpenVINOEngine(load_networks(weights, threads, "fp32", 1, CompiledNetworks(folder), keep=False))


def without_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    verified = Weights.verified

    def refuse(self: Weights, *names: str) -> list[Path]:
        if names == (CONFIDENCE,):  # nothing of it is compiled
            return verified(self, *names)
        raise AssertionError(f"{names} would be compiled")

    monkeypatch.setattr(Weights, "verified", refuse)


def test_a_prepared_network_is_not_compiled_again_and_gives_the_same_embedding(
    prepared: Path, weights: Weights, openvino_engine: OpenVINOEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_compiling(monkeypatch)
    for threads in (1, 2):
        engine = loaded(weights, prepared, threads)
        np.testing.assert_allclose(engine.encode(IMAGE), openvino_engine.encode(IMAGE), atol=1e-4)


def test_on_another_processor_it_is_compiled(prepared: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "processor_identity", lambda: ("another",))
    without_compiling(monkeypatch)
    with pytest.raises(AssertionError, match="would be compiled"):
        loaded(weights, prepared)


def test_other_weights_or_another_precision_are_another_network(prepared: Path) -> None:
    networks = CompiledNetworks(prepared)
    assert networks.path("1", "fp32", "a") != networks.path("1", "fp32", "b")
    assert networks.path("1", "fp32", "a") != networks.path("1", "bf16", "a")
    assert networks.read("1", "fp32", "a") is None


@pytest.mark.parametrize("damage", ["cut off", "one byte", "empty"])
def test_a_damaged_one_is_compiled_instead(
    damage: str, prepared: Path, weights: Weights, tmp_path: Path, openvino_engine: OpenVINOEngine
) -> None:
    for path in prepared.iterdir():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        broken = {"cut off": content[:1000], "one byte": content, "empty": bytearray()}[damage]
        (tmp_path / path.name).write_bytes(broken)
    engine = loaded(weights, tmp_path)
    np.testing.assert_array_equal(engine.encode(IMAGE), openvino_engine.encode(IMAGE))


def test_predicting_writes_nothing_there(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Weights
) -> None:
    monkeypatch.setenv("REPMEDSAM_CACHE", str(tmp_path / "none"))
    load_engine("openvino", weights, 2, "fp32")
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_prepare_fills_a_folder(tmp_path: Path, repmedsam: Repmedsam) -> None:
    done = repmedsam("prepare", tmp_path / "compiled")
    assert done.code == 0
    assert len(list((tmp_path / "compiled").glob("*.blob"))) >= 3


def test_prepare_says_where_it_cannot_write(tmp_path: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "file").write_text("")
    done = repmedsam("prepare", tmp_path / "file")
    assert done.code == 2
    assert "could not be written" in done.err


def test_an_error_of_the_other_thread_is_raised() -> None:
    def fail() -> None:
        raise ValueError("of the first")

    with pytest.raises(ValueError, match="of the first"):
        in_parallel(fail, lambda: 1)
    assert in_parallel(lambda: 1, lambda: 2) == (1, 2)
