"""SAM's prompt encoder: boxes become pairs of corner tokens, positions become random Fourier features; and a box prior.

Point prompts are not used by RepMedSAM; their parameters are kept, so that published checkpoints load.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from repmedsam_infer.network.norm import LayerNorm2d

POINT_KINDS = 4  # background point, foreground point, and a box's corners:
TOP_LEFT, BOTTOM_RIGHT = 2, 3
# Of the box prior:
STEEPNESS = 4.0  # the logit at the centre; 0 on the ellipse, about -1.7 in the box's corners
LOWEST = -8.0
SMALLEST_CELLS = 0.75  # half-axes in logit cells below which an ellipse would fall between the cells' centres


class RandomFourierPosition(nn.Module):
    """Positions in the unit square to (..., 2 * features) sines and cosines of fixed random frequencies."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.positional_encoding_gaussian_matrix: Tensor
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, features))

    def forward(self, xy: Tensor) -> Tensor:
        """`xy`: (..., 2) in [0, 1]."""
        angles = 2 * math.pi * ((2 * xy - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([angles.sin(), angles.cos()], -1)

    def grid(self, height: int, width: int) -> Tensor:
        """Return encoding of the cell centres of a grid: (height * width, 2 * features), rows first."""
        device = self.positional_encoding_gaussian_matrix.device
        y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
        x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
        return self(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2))


class PromptEncoder(nn.Module):
    """Boxes to prompt tokens."""

    def __init__(self, channels: int = 256) -> None:
        super().__init__()
        self.pe_layer = RandomFourierPosition(channels // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, channels) for _ in range(POINT_KINDS))
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, 2, 2),
            LayerNorm2d(4),
            nn.GELU(),
            nn.Conv2d(4, 16, 2, 2),
            LayerNorm2d(16),
            nn.GELU(),
            nn.Conv2d(16, channels, 1),
        )
        self.no_mask_embed = nn.Embedding(1, channels)

    def forward(self, boxes: Tensor, image_size: int) -> Tensor:
        """(N, 4) x_min y_min x_max y_max in pixels of an `image_size` square -> (N, 2, C) corner tokens."""
        corners = self.pe_layer((boxes.reshape(-1, 2, 2) + 0.5) / image_size)
        kinds = tuple(self.point_embeddings[i].get_parameter("weight") for i in (TOP_LEFT, BOTTOM_RIGHT))
        return corners + torch.stack(kinds, 1)

    def no_mask(self) -> Tensor:
        """Return the dense prompt where no mask is given: (1, C, 1, 1)."""
        return self.no_mask_embed.get_parameter("weight")[:, :, None, None]

    def mask(self, logits: Tensor) -> Tensor:
        """Return the dense prompt of masks by position: (N, 1, 4G, 4G) logits -> (N, G * G, C)."""
        *downscaling, last = self.mask_downscaling
        for layer in downscaling:
            logits = layer(logits)
        weight, bias = last.get_parameter("weight"), last.get_parameter("bias")
        return functional.linear(logits.flatten(2).transpose(1, 2), weight.flatten(1), bias)


def box_prior(boxes: Tensor, side: int, image_size: int) -> Tensor:
    """Logits that a box alone gives: its inscribed ellipse, more certain towards the centre.

    SAM learns from millions of masks how a pair of corner tokens becomes a place and a size; thousands are too few for
    that. The prior is a mask prompt of the decoder, so that every position has its place in the box, and it is added to
    the decoder's logits, which are then what the image says beyond the box. It has no parameters; the weights' metadata
    say whether a network was trained with it.

    Args:
        boxes: (N, 4) inclusive, in pixels of an `image_size` square.
        side: of the square of logits.
        image_size: see `boxes`.

    Returns:
        (N, 1, side, side).

    """
    cell = image_size / side
    centre = (boxes[:, :2] + boxes[:, 2:] + 1) / 2
    half = ((boxes[:, 2:] - boxes[:, :2] + 1) / 2).clamp(min=SMALLEST_CELLS * cell)
    position = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5) * cell
    across = ((position - centre[:, :1]) / half[:, :1])[:, None, None, :]
    down = ((position - centre[:, 1:]) / half[:, 1:])[:, None, :, None]
    radius = (across.square() + down.square()).sqrt()  # 1 on the ellipse
    return (STEEPNESS * (1 - radius)).clamp(min=LOWEST)
