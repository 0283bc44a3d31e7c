"""From a batch to its loss."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from repmedsam_infer.network.focus import inside_rois
from repmedsam_train.data.dataset import Batch
from repmedsam_train.losses import segmentation_loss
from repmedsam_train.recipe import Recipe
from repmedsam_train.weights.networks import Network


class Prediction(NamedTuple):
    """logits (N, T, T), predicted IoU (N,), true masks (N, T, T) in [0, 1], boxes (N, 4) in pixels of the masks, and
    where logits count (N, T, T), in [0, 1].
    """

    logits: Tensor
    iou: Tensor
    masks: Tensor
    boxes: Tensor
    counted: Tensor


def batch_loss(model: Network, batch: Batch, recipe: Recipe, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean loss and mean hard Dice over the objects of a batch."""
    return segmentation_loss(*predict(model, batch, recipe, device), recipe.loss)


def predict(model: Network, batch: Batch, recipe: Recipe, device: torch.device) -> Prediction:
    """Return what the network makes of the objects of a batch, beside the truth."""
    images = torch.from_numpy(batch.images).to(device, memory_format=torch.channels_last)
    # Only the encoder gains from bf16, and box positions need more digits than it has.
    with recipe.autocast(device):
        embedding = model.encode(images)
    boxes, rois = (torch.from_numpy(x).to(device) for x in (batch.prompted.boxes, batch.prompted.rois))
    masks, covered = (
        torch.from_numpy(x).to(device).float() / 255 for x in (batch.prompted.masks, batch.prompted.covered)
    )
    index = torch.from_numpy(batch.image_index).to(device)
    low_res_logits, iou = model.decode(embedding.float(), boxes, index, rois)
    logits = functional.interpolate(low_res_logits.float(), masks.shape[-2:], mode="bilinear", align_corners=False)
    boxes = inside_rois(boxes, rois, masks.shape[-1])
    return Prediction(logits[:, 0], iou[:, 0].float(), masks, boxes, 1 - covered)
