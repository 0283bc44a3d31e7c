"""What a box alone says about its mask, as logits: the ellipse that it encloses, surer towards its centre.

SAM learns from millions of masks how a pair of corner tokens becomes a place and a size. With thousands, it is better
told: the prior is given to the decoder as a mask prompt, so that every image position knows where in the box it lies,
and added to its logits, so that the decoder learns what the image says beyond the box. It has no parameters; a network
either was trained with it or was not, and the weights say which.
"""

import torch
from torch import Tensor

STEEPNESS = 4.0  # the logit at the centre; 0 on the ellipse, about -1.7 in the box's corners
LOWEST = -8.0
SMALLEST_CELLS = 0.75  # half-axes in logit cells below which an ellipse would fall between the cells' centres


def box_prior(boxes: Tensor, side: int, image_size: int) -> Tensor:
    """(N, 4) inclusive boxes in pixels of an `image_size` square -> (N, 1, side, side) logits."""
    cell = image_size / side
    centre = (boxes[:, :2] + boxes[:, 2:] + 1) / 2
    half = ((boxes[:, 2:] - boxes[:, :2] + 1) / 2).clamp(min=SMALLEST_CELLS * cell)
    position = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5) * cell
    across = ((position - centre[:, :1]) / half[:, :1])[:, None, None, :]
    down = ((position - centre[:, 1:]) / half[:, 1:])[:, None, :, None]
    radius = (across.square() + down.square()).sqrt()  # 1 on the ellipse
    return (STEEPNESS * (1 - radius)).clamp(min=LOWEST)
