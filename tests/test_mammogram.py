"""What is marked on a mammogram in training: skin, dense tissue or both, each thing whole; on no other images."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("torch")

from repmedsam_train.data import Augmentation, TrainingSet
from repmedsam_train.dense import MOST
from repmedsam_train.mammogram import BANDS, findings

SIDE = 240


def mammogram(seed: int) -> NDArray[np.uint8]:
    """Half a disc at the left side, with texture: smoothed noise."""
    noise = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 4)
    texture = 130 + 40 * texture / texture.std()
    disc = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (0, SIDE // 2), 100, 1, -1)
    return np.asarray(np.clip(texture, 40, 255) * disc, np.uint8)


def along_skin(mask: NDArray[np.bool_]) -> bool:
    """Whether half of it lies within a tenth of the breast's radius of the outline, as no region of dense tissue does
    that is not itself a band.
    """
    ys, xs = np.nonzero(mask)
    return float(np.median(np.hypot(ys - SIDE // 2, xs))) > 90


@settings(max_examples=40)
@given(seed=st.integers(0, 2000))
def test_nothing_found_is_cut_by_something_else(seed: int) -> None:
    found = findings(mammogram(seed), np.random.default_rng(seed), skin=1, dense=1)
    labels = np.unique(found)[1:]
    assert 1 <= len(labels) <= BANDS + MOST
    for label in labels:
        assert cv2.connectedComponents(np.asarray(found == label, np.uint8))[0] == 2


@settings(max_examples=20)
@given(seed=st.integers(0, 2000))
def test_skin_is_looked_for_apart_from_dense_tissue(seed: int) -> None:
    image = mammogram(seed)
    rng = np.random.default_rng
    skin = findings(image, rng(seed), skin=1, dense=0)
    dense = findings(image, rng(seed), skin=0, dense=1)
    assert 1 <= len(np.unique(skin)[1:]) <= BANDS
    assert all(along_skin(skin == label) for label in np.unique(skin)[1:])
    assert not all(along_skin(dense == label) for label in np.unique(dense)[1:])
    assert not findings(image, rng(seed), skin=0, dense=0).any()


@pytest.mark.parametrize("kind", ["skin", "dense"])
@pytest.mark.parametrize("modality", ["Mammography", "US"])
def test_only_mammograms_are_trained_on_by_what_was_found(tmp_path: Path, kind: str, modality: str) -> None:
    image = mammogram(0)
    marked = np.zeros_like(image, np.uint16)
    marked[10:60, 180:230] = 1  # off the breast, where nothing can be found
    still = Augmentation(
        flip=0, crop=0, rotation=0, transpose=0, tight_box=1, loose_box=0,
        skin=float(kind == "skin"), dense=float(kind == "dense"),
    )  # fmt: skip
    path = tmp_path / f"2DBox_{modality}_one_0000.npz"
    np.savez(path, imgs=np.repeat(image[..., None], 3, -1), gts=marked)
    prompted = TrainingSet([path], 0, still, focus=False).batch(0, 8, 64, 4).prompted
    off_breast = prompted.boxes[:, 0] > 150
    found = modality == "Mammography"
    assert off_breast.all() != found
    assert off_breast.any() != found


def test_a_mammogram_on_which_nothing_is_found_is_trained_on_by_what_is_marked(tmp_path: Path) -> None:
    marked = np.zeros((SIDE, SIDE), np.uint16)
    marked[10:60, 180:230] = 1
    path = tmp_path / "2DBox_Mammography_dark_0000.npz"
    np.savez(path, imgs=np.zeros((SIDE, SIDE, 3), np.uint8), gts=marked)
    batch = TrainingSet([path], 0, Augmentation(skin=1, dense=1), focus=False).batch(0, 4, 64, 4)
    assert len(batch.images) == 4
