"""What estimates confidence is fitted to examples that the code which segments makes itself."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("scipy")

from typer.testing import CliRunner

from repmedsam_infer.boxes import tight_boxes
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.weights import CONFIDENCE, Weights, find_weights
from repmedsam_infer.segmentation.box_fit import INWARDS
from repmedsam_infer.segmentation.features import FEATURES
from repmedsam_infer.segmentation.open_ended import WAY_FEATURES
from repmedsam_train.cli import app
from repmedsam_train.weights.confidence import fit, fit_confidence, write_confidence
from repmedsam_train.weights.examples import (
    Example,
    VolumeExamples,
    choose_cases,
    drawn_boxes,
    picture_examples,
    volume_examples,
)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 90))
def test_drawn_boxes_are_in_the_image_around_the_middle_of_the_object(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.sort(rng.integers(0, height, (2, 2))), np.sort(rng.integers(0, width, (2, 2)))
    tight = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1).astype(float)
    boxes = drawn_boxes(tight, (height, width), rng)
    middle = np.floor((tight[:, :2] + tight[:, 2:]) / 2)
    assert (boxes[:, :2] <= middle).all()
    assert (boxes[:, 2:] >= middle).all()
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] < [width, height]).all()
    np.testing.assert_array_equal(boxes, np.rint(boxes))


def test_a_good_part_of_drawn_boxes_is_tight_and_a_good_part_is_not() -> None:
    tight = np.tile([100.0, 100, 199, 199], (2000, 1))
    same = (drawn_boxes(tight, (400, 400), np.random.default_rng(0)) == tight).all(1).mean()
    assert 0.3 < same < 0.45


def synthetic(count: int, outputs: int, features: int) -> list[Example]:
    """The DSC of each mask is a feature."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, 1, (count, features)).astype(np.float32)
    return [Example("CT" if i % 9 else "US", row, row[:outputs] ** 2) for i, row in enumerate(rows)]


def test_a_fit_finds_what_is_there_to_be_found() -> None:
    said: list[str] = []
    network = fit(synthetic(3000, 2, 5), said.append)
    inputs = np.random.default_rng(1).uniform(0.1, 0.9, (200, 5)).astype(np.float32)
    assert np.abs(network(inputs) - inputs[:, :2] ** 2).mean() < 0.05
    assert "3000 examples of 2 modalities" in said[0]


def test_the_file_goes_beside_the_weights_and_into_their_sums(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text("00  zzz\n11  confidence.safetensors\n22  aaa\n")
    wide = len(FEATURES) * len(INWARDS)
    volume = VolumeExamples(synthetic(40, 1, len(FEATURES) + 3), synthetic(40, 1, len(WAY_FEATURES)))
    model = fit_confidence(synthetic(40, len(INWARDS), wide), [volume], lambda _: None)
    write_confidence(tmp_path, model)
    weights = find_weights(tmp_path)
    assert list(weights.sums) == ["aaa", CONFIDENCE, "zzz"]
    again = weights.confidence()
    assert again is not None
    inputs = np.zeros((1, wide), np.float32)
    np.testing.assert_array_equal(again.all(inputs), model.all(inputs))


@pytest.mark.slow
def test_examples_are_made_of_pictures_and_volumes(openvino_engine: Engine, samples: Path) -> None:
    rng = np.random.default_rng(0)
    path = samples / "2DBox_XRay_phantom_0000.npz"
    found = list(picture_examples(path, openvino_engine, rng))
    with np.load(path) as npz:
        assert len(found) == 2 * len(tight_boxes(npz["gts"]))
    assert {(one.features.shape, one.targets.shape) for one in found} == {
        ((len(INWARDS) * len(FEATURES),), (len(INWARDS),))
    }
    assert np.mean([one.targets.max() for one in found]) > 0.9
    volume = volume_examples(samples / "3DBox_MR_phantom_0000.npz", openvino_engine, rng)
    assert volume.whole[0].features.shape == (len(FEATURES) + 3,)
    assert volume.whole[0].targets[0] > 0.5
    assert volume.ways[0].features.shape == (len(WAY_FEATURES),)
    assert {one.targets[0] for one in volume.ways} == {0.0, 1.0}  # past the ends, too


def test_cases_are_chosen_evenly_and_always_the_same(samples: Path) -> None:
    chosen = choose_cases(samples, 1, volumes=False)
    assert chosen == choose_cases(samples, 1, volumes=False)
    assert len(chosen) == len({path.stem.rsplit("_", 1)[0] for path in samples.glob("2D*.npz")})


@pytest.mark.slow
def test_the_command_fits_to_a_folder_of_cases(weights: Weights, samples: Path, tmp_path: Path) -> None:
    cases, folder = tmp_path / "cases", tmp_path / "weights"
    cases.mkdir()
    folder.mkdir()
    for name in ("2DBox_US_phantom_0000.npz", "3DBox_MR_phantom_0000.npz"):
        shutil.copy(samples / name, cases)
    for path in weights.folder.iterdir():
        if path.name != CONFIDENCE:
            (folder / path.name).symlink_to(path)
    (folder / "SHA256SUMS").unlink()
    shutil.copy(weights.folder / "SHA256SUMS", folder)
    shutil.copy(weights.folder / CONFIDENCE, folder)
    before = (folder / CONFIDENCE).read_bytes()
    done = CliRunner().invoke(app, ["confidence", str(folder), "--train", str(cases)])
    assert done.exit_code == 0, done.output
    assert "1 pictures, 1 volumes" in done.output
    assert (folder / CONFIDENCE).read_bytes() != before
    assert find_weights(folder).confidence() is not None
