"""From a batch to its loss."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from repmedsam_infer.network.focus import inside_rois
from repmedsam_train.data.batch import Batch
from repmedsam_train.data.sampler.chance import on_host
from repmedsam_train.losses import segmentation_loss
from repmedsam_train.recipe import Recipe
from repmedsam_train.weights.networks import Network


class Prediction(NamedTuple):
    """logits (N, T, T), predicted IoU (N,), true masks (N, T, T) in [0, 1], boxes (N, 4) in pixels of the masks, where
    logits count (N, T, T), in [0, 1], and which of them there are (N,): what `batch.valid` says.
    """

    logits: Tensor
    iou: Tensor
    masks: Tensor
    boxes: Tensor
    counted: Tensor
    valid: Tensor


def batch_loss(model: Network, batch: Batch, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Mean loss and mean hard Dice over the objects of a batch."""
    predicted = predict(model, filled_on_cpu(batch), recipe)
    return segmentation_loss(*predicted[:5], recipe.loss, predicted.valid)


def filled_on_cpu(batch: Batch) -> Batch:
    """Return the batch without empty places where that costs nothing; on a GPU shapes stay fixed and nothing waits."""
    return batch.filled() if on_host(batch.valid) else batch


def predict(model: Network, batch: Batch, recipe: Recipe) -> Prediction:
    """Return what the network makes of the objects of a batch, beside the truth; both are on one device."""
    images = batch.images.contiguous(memory_format=torch.channels_last)
    # Only the encoder gains from bf16, and box positions need more digits than it has.
    with recipe.autocast(images.device):
        embedding = model.encode(images)
    low_res_logits, iou = model.decode(embedding.float(), batch.boxes, batch.image_index, batch.rois)
    side = batch.masks.shape[-1]
    logits = functional.interpolate(low_res_logits.float(), (side, side), mode="bilinear", align_corners=False)
    boxes = inside_rois(batch.boxes, batch.rois, side)
    return Prediction(logits[:, 0], iou[:, 0].float(), batch.masks, boxes, 1 - batch.covered, batch.valid)
