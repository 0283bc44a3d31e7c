"""The decoder's graph: its convolutions are split without changing it, and it is written over weights as they are."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")
pytest.importorskip("openvino")

import openvino
from hypothesis import given, settings
from hypothesis import strategies as st

from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.weights import STORE, SUMS, Weights, data_start, find_weights
from repmedsam_train.cli import main
from repmedsam_train.weights.export import split_convolutions
from repmedsam_train.weights.shared_constants import join_integers, place_in

IMAGE = np.random.default_rng(0).random((3, 256, 256), dtype=np.float32)
BOXES = np.array([[10, 20, 90, 80], [0, 0, 255, 255], [100, 100, 108, 131]], np.float32)


def run_on(graph: openvino.Model, *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    network = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(next(iter(network(list(inputs)).values())))


def kinds(graph: openvino.Model) -> list[str]:
    return [node.get_type_name() for node in graph.get_ops()]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(0, 1000))
@settings(max_examples=15)
def test_a_split_convolution_gives_the_same(widths: list[int], seed: int) -> None:
    ops, rng = openvino.opset13, np.random.default_rng(seed)
    inputs = [ops.parameter([-1, width, 6, 7], np.float32) for width in widths]
    weights = rng.standard_normal((5, sum(widths), 3, 3)).astype(np.float32)
    convolved = ops.convolution(ops.concat(inputs, 1), weights, [2, 1], [1, 1], [1, 0], [1, 1])
    graph = openvino.Model([ops.add(convolved, rng.standard_normal((1, 5, 1, 1)).astype(np.float32))], inputs)
    given_maps = [rng.standard_normal((2, width, 6, 7)).astype(np.float32) for width in widths]
    before = run_on(graph, *given_maps)
    split_convolutions(graph)
    assert kinds(graph).count("Convolution") == 2
    np.testing.assert_allclose(run_on(graph, *given_maps), before, atol=1e-4)


def test_lists_of_integers_are_joined_of_those_that_are_there() -> None:
    ops = openvino.opset13
    one = ops.parameter([2, 64, 3], np.float32)
    graph = openvino.Model([ops.reshape(one, np.array([-1, 64, 6], np.int64), special_zero=False)], [one])
    others = np.array([8, 6, -1], np.int64).tobytes()
    x = np.random.default_rng(0).random((2, 64, 3), dtype=np.float32)
    before = run_on(graph, x)
    join_integers(graph, others)
    for constant in graph.get_ops():
        if constant.get_type_name() == "Constant":
            assert place_in(others, constant.data.tobytes()) >= 0
    np.testing.assert_array_equal(run_on(graph, x), before)


def test_bytes_are_found_where_numbers_begin_only() -> None:
    others = b"\0" * 7 + b"\1" + b"\0" * 8 + b"\1" + b"\0" * 7
    assert place_in(others, (1).to_bytes(8, "little")) == 16
    assert place_in(others, b"\2" * 8) == -1


@pytest.fixture
def copied(weights: Weights, tmp_path: Path) -> Path:
    for name in (SUMS, *weights.sums):
        shutil.copy(weights.folder / name, tmp_path)
    return tmp_path


def trained(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["repmedsam-train", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.mark.slow
def test_the_graph_is_written_over_the_shipped_weights_as_they_are(
    weights: Weights, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPMEDSAM_CACHE", "off")
    (copied / "decoder.xml").unlink()
    assert trained("export", copied / STORE, copied, "--decoder", monkeypatch=monkeypatch) == 0
    found = find_weights(copied)
    assert {name for name in found.sums if found.sums[name] != weights.sums[name]} <= {"decoder.xml"}
    assert hashlib.sha256((copied / STORE).read_bytes()).hexdigest() == weights.sums[STORE]
    ours, shipped = (load_engine("openvino", one, 2, "fp32") for one in (found, weights))
    embedding = shipped.encode(IMAGE)
    for a, b in zip(*(one.decode(embedding, BOXES, rois_around(BOXES)) for one in (ours, shipped)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.slow
def test_weights_without_the_graphs_numbers_are_refused(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = copied / "other"
    other.mkdir()
    shutil.copy(copied / SUMS, other)
    content = bytearray((copied / STORE).read_bytes())
    start, size = data_start(copied / STORE), 400_000  # what graphs need beside the network comes first
    content[start : start + size] = bytes(size)
    (other / STORE).write_bytes(content)
    assert trained("export", copied / STORE, other, "--decoder", monkeypatch=monkeypatch) != 0
    assert "lacks a constant" in capsys.readouterr().err
    assert not (other / "decoder.xml").exists()
