"""From a batch to its loss: what every kind of training on masks shares."""

import torch
from torch import Tensor
from torch.nn import functional

from repmedsam_infer.network import RepMedSAM
from repmedsam_infer.preprocess import FRAME_SIZE
from repmedsam_train.data import Batch
from repmedsam_train.losses import segmentation_loss
from repmedsam_train.recipe import Recipe


def batch_loss(model: RepMedSAM, batch: Batch, recipe: Recipe, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean loss and mean hard Dice over the objects of a batch."""
    images = torch.from_numpy(batch.images).to(device, memory_format=torch.channels_last)
    return decode_loss(model, model.encode(images), batch, recipe, device)


def decode_loss(
    model: RepMedSAM, embedding: Tensor, batch: Batch, recipe: Recipe, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The same from embeddings (B, 256, G, G)."""
    size = batch.images.shape[-1]
    boxes = torch.from_numpy(batch.boxes).to(device)
    masks = torch.from_numpy(batch.masks).to(device).float() / 255
    index = torch.from_numpy(batch.image_index).to(device)
    low_res_logits, iou = model.decode(embedding, boxes * (FRAME_SIZE / size), index)
    logits = functional.interpolate(low_res_logits.float(), (size, size), mode="bilinear", align_corners=False)
    return segmentation_loss(logits[:, 0], iou[:, 0].float(), masks, boxes, recipe.loss)
