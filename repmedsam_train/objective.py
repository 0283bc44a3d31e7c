"""From a batch to its loss."""

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
    # Only the encoder gains from bf16, and box positions need more digits than it has.
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bf16):
        embedding = model.encode(images)
    size = batch.images.shape[-1]
    boxes = torch.from_numpy(batch.boxes).to(device)
    masks = torch.from_numpy(batch.masks).to(device).float() / 255
    index = torch.from_numpy(batch.image_index).to(device)
    low_res_logits, iou = model.decode(embedding.float(), frame_boxes(boxes, size), index)
    logits = functional.interpolate(low_res_logits.float(), (size, size), mode="bilinear", align_corners=False)
    return segmentation_loss(logits[:, 0], iou[:, 0].float(), masks, boxes, recipe.loss)


def frame_boxes(boxes: Tensor, size: int) -> Tensor:
    """Inclusive boxes in pixels of a `size` square -> in pixels of the frame."""
    edge = boxes.new_tensor([0, 0, 1, 1])
    return (boxes + edge) * (FRAME_SIZE / size) - edge
