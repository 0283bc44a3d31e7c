"""Weights are used only if they are the published ones."""

import shutil
from pathlib import Path

import pytest

from repmedsam_infer.engines import load_engine
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.weights import SUMS, Weights, find_weights

MAX_FILE_BYTES = 95 << 20


def test_the_shipped_weights_are_whole_and_small(weights: Weights) -> None:
    paths = weights.verified(*weights.sums)
    assert {p.name for p in paths} >= {"encoder.xml", "encoder.bin", "decoder.xml", "decoder.bin"}
    assert all(p.stat().st_size < MAX_FILE_BYTES for p in paths)


def test_a_folder_without_weights_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no weights"):
        find_weights(tmp_path)


def test_the_environment_names_a_folder(weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(weights.folder / SUMS, tmp_path)
    monkeypatch.setenv("REPMEDSAM_WEIGHTS", str(tmp_path))
    assert find_weights().folder == tmp_path
    assert find_weights().sha256 == weights.sha256


@pytest.mark.parametrize("damage", ["changed", "missing", "unlisted"])
def test_damaged_weights_are_refused(damage: str, weights: Weights, tmp_path: Path) -> None:
    for name in [SUMS, "encoder.xml", "prompts.xml", "prompts.bin", "decoder.xml", "decoder.bin"]:
        shutil.copy(weights.folder / name, tmp_path)
    if damage == "changed":
        (tmp_path / "encoder.bin").write_bytes(b"\0" * 100)
    if damage == "unlisted":
        (tmp_path / SUMS).write_text("")
    reason = {"changed": "SHA-256 differs", "missing": "cannot be read", "unlisted": "does not list"}[damage]
    with pytest.raises(SetupError, match=reason):
        load_engine("openvino", find_weights(tmp_path), 1, "fp32")


def test_an_unknown_engine_is_a_usage_error(weights: Weights) -> None:
    with pytest.raises(UsageError, match="openvino, torch"):
        load_engine("tensorrt", weights, 1)  # type: ignore[arg-type]
