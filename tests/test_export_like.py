"""Weights trained on from others are used with what was fitted to the others."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from repmedsam_infer.case import read_case  # noqa: E402
from repmedsam_infer.engines.calibration import Calibration  # noqa: E402
from repmedsam_infer.engines.weights import CONFIDENCE, STORE, Weights, find_weights  # noqa: E402
from repmedsam_infer.errors import UsageError  # noqa: E402
from repmedsam_infer.network import RepMedSAM  # noqa: E402
from repmedsam_infer.segmenter import Segmenter  # noqa: E402
from repmedsam_train.cli import app  # noqa: E402
from repmedsam_train.loop import save_weights  # noqa: E402
from repmedsam_train.weights.like import export_like  # noqa: E402
from repmedsam_train.weights.networks import load_trained  # noqa: E402


@pytest.mark.slow
def test_weights_trained_on_are_usable_at_once(weights: Weights, samples: Path, tmp_path: Path) -> None:
    """As a run leaves the shipped weights if it changes nothing, they give the very masks and confidence of those."""
    network = load_trained(weights.folder / STORE)
    save_weights(tmp_path / "model.safetensors", network, {"grid": "16", "focus": "true"})
    done = CliRunner().invoke(
        app, ["export", str(tmp_path / "model.safetensors"), str(tmp_path / "my"), "--like", str(weights.folder)]
    )
    assert done.exit_code == 0, done.output
    assert "calibration, confidence" in done.output
    mine = find_weights(tmp_path / "my")
    assert mine.calibration() == weights.calibration() != Calibration()
    assert mine.sums[CONFIDENCE] == weights.sums[CONFIDENCE]
    mine.verified(*mine.sums)
    case = read_case(samples / "2DBox_US_phantom_0000.npz")
    first, second = (
        Segmenter(weights=folder, precision="fp32").segment(case.imgs, case.boxes.corners)
        for folder in (weights.folder, tmp_path / "my")
    )
    np.testing.assert_array_equal(first.labels, second.labels)
    assert [one.confidence for one in second.objects] == pytest.approx([one.confidence for one in first.objects])
    assert second.objects[0].confidence is not None


def test_weights_are_not_replaced_by_those_trained_on(weights: Weights) -> None:
    with pytest.raises(UsageError, match="name another folder"):
        export_like(RepMedSAM(16, focus=True), weights.folder, weights.folder)


def test_networks_of_another_make_are_refused(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="another make"):
        export_like(RepMedSAM(64), tmp_path / "my", weights.folder)
    assert not (tmp_path / "my").exists()


@pytest.mark.parametrize("option", ["--onnx", "--decoder"])
def test_what_writes_no_folder_of_weights_takes_nothing_over(option: str, weights: Weights, tmp_path: Path) -> None:
    arguments = ["export", weights.folder / STORE, tmp_path / "my", "--like", weights.folder, option]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert isinstance(done.exception, UsageError)
    assert f"leave it out with {option}" in str(done.exception)
    assert not (tmp_path / "my").exists()
