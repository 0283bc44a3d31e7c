"""What is marked on a mammogram in training: skin, dense tissue or both, each thing whole; on no other images."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("torch")

from repmedsam_train.data.augmentation import Augmentation
from repmedsam_train.data.batch import Batch
from repmedsam_train.data.dataset import TrainingSet
from repmedsam_train.data.mammogram import MOST_BANDS, MOST_REGIONS, findings
from tests.mammograms import RADIUS, SIDE, mammogram


def along_skin(mask: NDArray[np.bool_]) -> bool:
    """Whether half of it lies within a tenth of the breast's radius of the outline."""
    ys, xs = np.nonzero(mask)
    return float(np.median(np.hypot(ys - SIDE // 2, xs))) > 0.9 * RADIUS


@settings(max_examples=40)
@given(seed=st.integers(0, 2000))
def test_nothing_found_is_cut_by_something_else(seed: int) -> None:
    found = findings(mammogram(seed), np.random.default_rng(seed), skin=1, dense=1)
    labels = np.unique(found)[1:]
    assert 1 <= len(labels) <= MOST_BANDS + MOST_REGIONS
    for label in labels:
        assert cv2.connectedComponents(np.asarray(found == label, np.uint8))[0] == 2


@settings(max_examples=20)
@given(seed=st.integers(0, 2000))
def test_skin_is_looked_for_apart_from_dense_tissue(seed: int) -> None:
    image = mammogram(seed)
    rng = np.random.default_rng
    skin = findings(image, rng(seed), skin=1, dense=0)
    dense = findings(image, rng(seed), skin=0, dense=1)
    assert 1 <= len(np.unique(skin)[1:]) <= MOST_BANDS
    assert all(along_skin(skin == label) for label in np.unique(skin)[1:])
    assert not all(along_skin(dense == label) for label in np.unique(dense)[1:])
    assert not findings(image, rng(seed), skin=0, dense=0).any()


@pytest.mark.parametrize("kind", ["skin", "dense"])
@pytest.mark.parametrize("modality", ["Mammography", "US"])
def test_only_mammograms_are_trained_on_by_what_was_found(tmp_path: Path, kind: str, modality: str) -> None:
    prompted = trained_on(tmp_path, mammogram(0), modality, skin=kind == "skin", dense=kind == "dense")
    found = modality == "Mammography"
    assert found or len(prompted.boxes) == 8
    assert off_breast(prompted).all() != found
    assert off_breast(prompted).any() != found


def test_a_mammogram_on_which_nothing_is_found_is_trained_on_by_what_is_marked(tmp_path: Path) -> None:
    prompted = trained_on(tmp_path, np.zeros((SIDE, SIDE), np.uint8), "Mammography", skin=1, dense=1)
    assert len(prompted.boxes) == 8
    assert off_breast(prompted).all()


def trained_on(folder: Path, image: NDArray[np.uint8], modality: str, skin: float, dense: float) -> Batch:
    """What 8 samples of an image prompt, on which a square off the breast is marked, where nothing can be found."""
    marked = np.zeros((SIDE, SIDE), np.uint16)
    marked[10:60, 180:230] = 1
    path = folder / f"2DBox_{modality}_one_0000.npz"
    np.savez(path, imgs=np.repeat(image[..., None], 3, -1), gts=marked)
    still = Augmentation(
        flip=0, crop=0, rotation=0, transpose=0, elastic=0, tight_box=1, loose_box=0, skin=skin, dense=dense,
    )  # fmt: skip
    import torch

    return TrainingSet([path], torch.device("cpu"), 0, still, focus=False).batch(0, 8, 64, 4).filled()


def off_breast(prompted: Batch) -> NDArray[np.bool_]:
    return np.asarray(prompted.boxes.numpy()[:, 0] > 150)
