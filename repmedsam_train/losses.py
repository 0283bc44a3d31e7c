"""Loss of a predicted mask and of its predicted IoU (paper section 2.2: Dice + BCE + MSE)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class LossWeights:
    dice: float = 1.0
    bce: float = 1.0
    iou: float = 0.2
    outside: float = 0.5  # what all pixels far from the box weigh in the BCE, next to 1 for all near it
    plain: bool = False  # as in the paper: BCE is the mean over all pixels, and every pixel counts


def segmentation_loss(
    logits: Tensor,
    iou: Tensor,
    masks: Tensor,
    boxes: Tensor,
    counted: Tensor,
    weights: LossWeights,
    valid: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean loss and mean hard Dice of N objects.

    Args:
        logits: (N, S, S) at the resolution of the masks.
        iou: (N,) predicted IoU.
        masks: (N, S, S) in [0, 1].
        boxes: (N, 4) in pixels of the masks; they only say where the BCE's weight goes.
        counted: (N, S, S) in [0, 1], what a pixel weighs: 0 where another object lies over this one.
        weights: what the parts of the loss weigh.
        valid: (N,) what each object weighs in both means, 0 or False for nothing; without it all weigh alike.

    The BCE of an object is a mean over the neighbourhood of its box plus a lighter one over the rest of the image, so
    that an object of a few pixels weighs as much as one that fills the frame; with `weights.plain` a mean over all.

    """
    if weights.plain:
        counted = torch.ones_like(counted)
    masks = masks * counted
    probability = logits.sigmoid() * counted
    overlap = (probability * masks).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / (probability.sum((1, 2)) + masks.sum((1, 2)) + 1)

    bce_map = functional.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    if weights.plain:
        bce = bce_map.mean((1, 2))
    else:
        near = neighbourhood(boxes, logits.shape[-1])
        far = (1 - near) * counted
        near = near * counted
        bce = (bce_map * near).sum((1, 2)) / near.sum((1, 2)).clamp(min=1)
        bce = bce + weights.outside * (bce_map * far).sum((1, 2)) / far.sum((1, 2)).clamp(min=1)

    with torch.no_grad():
        hard, truth = (logits > 0) * (counted > 0.5).float(), (masks > 0.5).float()
        intersection = (hard * truth).sum((1, 2))
        total = hard.sum((1, 2)) + truth.sum((1, 2))
        true_iou = intersection / (total - intersection).clamp(min=1)
        hard_dice = 2 * intersection / total.clamp(min=1)
    mse = (iou - true_iou).square()
    loss = weights.dice * dice + weights.bce * bce + weights.iou * mse
    if valid is None:
        return loss.mean(), hard_dice.mean()
    share = valid / valid.sum().clamp(min=1)
    return (loss * share).sum(), (hard_dice * share).sum()


def neighbourhood(boxes: Tensor, size: int) -> Tensor:
    """(N, size, size) of 1 within each box widened by a quarter and 4 pixels a side, else 0."""
    position = torch.arange(size, device=boxes.device, dtype=boxes.dtype)
    margin = 4 + (boxes[:, 2:] - boxes[:, :2]) / 4
    low, high = boxes[:, :2] - margin, boxes[:, 2:] + margin
    inside = (position >= low[..., None]) & (position <= high[..., None])  # (N, 2, size)
    return (inside[:, 1, :, None] & inside[:, 0, None, :]).to(boxes.dtype)
