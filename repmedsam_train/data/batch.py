"""A batch of training samples: tensors on one device, of shapes that depend on nothing but what was asked for."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B images with K places for objects on each: N = B * K.

    images: (B, 3, S, S) float32 in [0, 1].
    boxes: (N, 4) float32, the prompts, in pixels of the 256-pixel frame, whatever S is.
    rois: (N, 4) float32, edges in pixels of that frame.
    masks: (N, T, T) float32 in [0, 1], over the rois.
    covered: (N, T, T) float32 in [0, 1], where an object with a smaller box lies: it is painted over (boxes.py), and
        what the mask says there does not matter.
    image_index: (N,) int64, the image that each is on.
    valid: (N,) bool, False for places that no object fills; they weigh nothing in the loss.
    """

    images: Tensor
    boxes: Tensor
    rois: Tensor
    masks: Tensor
    covered: Tensor
    image_index: Tensor
    valid: Tensor

    def filled(self) -> "Batch":
        """Return the batch without the places that no object fills: less to decode, in shapes that depend on the data.

        On a GPU this would wait for it.
        """
        keep = self.valid.nonzero()[:, 0]
        return Batch(
            self.images,
            self.boxes[keep],
            self.rois[keep],
            self.masks[keep],
            self.covered[keep],
            self.image_index[keep],
            torch.ones_like(keep, dtype=torch.bool),
        )
