"""Weights are used only if they are the published ones."""

import shutil
from pathlib import Path

import pytest

from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.weights import CONFIDENCE, STORE, SUMS, Weights, find_weights
from repmedsam_infer.errors import SetupError, UsageError

MAX_FILE_BYTES = 95 << 20


def test_the_shipped_weights_are_whole_and_small(weights: Weights) -> None:
    paths = weights.verified(*weights.sums)
    assert {p.name for p in paths} >= {STORE, "encoder.xml", "decoder.xml", "prompts.xml"}
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
    for name in [SUMS, STORE, CONFIDENCE, "encoder.xml", "prompts.xml", "decoder.xml"]:
        shutil.copy(weights.folder / name, tmp_path)
    if damage == "changed":
        with (tmp_path / STORE).open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\x55")
    if damage == "missing":
        (tmp_path / "encoder.xml").unlink()
    if damage == "unlisted":
        (tmp_path / SUMS).write_text("")
    reason = {"changed": "SHA-256 differs", "missing": "cannot be read", "unlisted": "does not list"}[damage]
    with pytest.raises(SetupError, match=reason):
        load_engine("openvino", find_weights(tmp_path), 1, "fp32")


def test_only_the_files_that_are_there_are_listed(weights: Weights, tmp_path: Path) -> None:
    for name in (SUMS, STORE):
        shutil.copy(weights.folder / name, tmp_path)
    assert find_weights(tmp_path).present == [STORE]
    assert set(weights.present) == set(weights.sums)


def test_no_number_is_stored_twice(weights: Weights) -> None:
    """Beside the weight file only int8 has numbers of its own, and it is half as large."""
    numbers = {
        path.name: path.stat().st_size for path in weights.folder.iterdir() if path.suffix not in (".xml", ".md")
    }
    large = {name for name, size in numbers.items() if size > 1 << 20}
    assert large == {STORE, "encoder_int8.bin"}
    assert numbers["encoder_int8.bin"] < 0.5 * numbers[STORE]


def test_an_unknown_engine_is_a_usage_error(weights: Weights) -> None:
    with pytest.raises(UsageError, match="openvino, torch"):
        load_engine("tensorrt", weights, 1)
