"""Training of the heads alone, on embeddings of a frozen encoder that are computed once.

What a box is, where it lies and how its size becomes a mask is learned from thousands of prompts, and hardly from the
image. Without the encoder a step costs a sixth, so the heads catch up quickly. Besides the real objects they are shown
ellipses in random boxes of all sizes: the best guess of a mask where nothing is known but its box.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repmedsam_infer.network import RepMedSAM
from repmedsam_infer.preprocess import FRAME_SIZE
from repmedsam_train.data import Batch, TrainingSet
from repmedsam_train.objective import decode_loss
from repmedsam_train.recipe import Phase, Recipe

SMALLEST, LARGEST = 3.0, 230.0  # sides of drawn ellipses, in pixels of the 256-pixel frame
CACHE_STREAM = 1 << 40  # batch numbers that no step has


class EmbeddingCache:
    """Batches with their embeddings; which of them a step sees depends on its number alone."""

    def __init__(
        self, model: RepMedSAM, dataset: TrainingSet, phase: Phase, recipe: Recipe, device: torch.device
    ) -> None:
        self.recipe, self.device = recipe, device
        self.batches: list[Batch] = []
        self.embeddings: list[Tensor] = []
        for i in range(recipe.cached_batches):
            batch = dataset.batch(CACHE_STREAM + i, phase.batch, phase.size, recipe.boxes_per_image)
            with torch.no_grad():
                images = torch.from_numpy(batch.images).to(device, memory_format=torch.channels_last)
                self.embeddings.append(model.encode(images).half())
            self.batches.append(batch)

    def loss(self, model: RepMedSAM, step: int) -> tuple[Tensor, Tensor]:
        """Mean loss and Dice of one cached batch with freshly drawn ellipses added."""
        rng = np.random.default_rng([self.recipe.seed, step, 1])
        i = int(rng.integers(len(self.batches)))
        batch = add_ellipses(self.batches[i], rng, self.recipe.ellipses_per_image)
        return decode_loss(model, self.embeddings[i].float(), batch, self.recipe, self.device)


def add_ellipses(batch: Batch, rng: np.random.Generator, per_image: int) -> Batch:
    """The batch with `per_image` drawn ellipses an image, each prompted by its box."""
    count, size = len(batch.images), batch.images.shape[-1]
    sides = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), (count * per_image, 2))) * size / FRAME_SIZE
    # Half of them no more than 1 : 2, as most objects are.
    mean = np.sqrt(sides.prod(1, keepdims=True))
    compact = mean * np.exp(rng.uniform(-0.35, 0.35, (len(sides), 1)) * [1, -1])
    sides = np.where(rng.random((len(sides), 1)) < 0.5, np.minimum(compact, size - 1), sides)
    low = rng.uniform(0, size - sides)
    boxes = np.concatenate([low, low + sides], 1).astype(np.float32)
    index = np.repeat(np.arange(count), per_image)
    return Batch(
        batch.images,
        np.concatenate([batch.boxes, boxes]),
        np.concatenate([batch.masks, ellipse_masks(boxes, size)]),
        np.concatenate([batch.image_index, index]),
    )


def ellipse_masks(boxes: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """(N, 4) inclusive boxes -> (N, size, size) inscribed ellipses, 255 inside, with edges a pixel soft."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2] + 1) / 2
    position = np.arange(size, dtype=np.float32)
    dx = (position - centre[:, :1]) / half[:, :1]
    dy = (position - centre[:, 1:]) / half[:, 1:]
    distance = np.sqrt(dx[:, None, :] ** 2 + dy[:, :, None] ** 2)
    depth = (1 - distance) * half.min(1)[:, None, None] + 0.5  # pixels inside the edge, roughly
    return np.asarray(np.clip(depth, 0, 1) * 255, np.uint8)
