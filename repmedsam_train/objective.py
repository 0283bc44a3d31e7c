"""From a batch to its loss."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from repmedsam_infer.network.focus import inside_rois
from repmedsam_train.data.batch import Batch
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


def batch_loss(model: Network, batch: Batch, recipe: Recipe, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean loss and mean hard Dice over the objects of a batch."""
    predicted = predict(model, filled_on_cpu(batch), recipe, device)
    return segmentation_loss(*predicted[:5], recipe.loss, predicted.valid)


def filled_on_cpu(batch: Batch) -> Batch:
    """Return the batch without empty places where that costs nothing; on a GPU shapes stay fixed and nothing waits."""
    return batch.filled() if batch.valid.device.type == "cpu" else batch


def predict(model: Network, batch: Batch, recipe: Recipe, device: torch.device) -> Prediction:
    """Return what the network makes of the objects of a batch, beside the truth."""
    images = batch.images.to(device, memory_format=torch.channels_last)
    # Only the encoder gains from bf16, and box positions need more digits than it has.
    with recipe.autocast(device):
        embedding = model.encode(images)
    boxes, rois, masks, covered, index, valid = (
        x.to(device) for x in (batch.boxes, batch.rois, batch.masks, batch.covered, batch.image_index, batch.valid)
    )
    low_res_logits, iou = model.decode(embedding.float(), boxes, index, rois)
    logits = functional.interpolate(low_res_logits.float(), masks.shape[-2:], mode="bilinear", align_corners=False)
    boxes = inside_rois(boxes, rois, masks.shape[-1])
    return Prediction(logits[:, 0], iou[:, 0].float(), masks, boxes, 1 - covered, valid)
