"""SAM's prompt encoder: boxes become pairs of corner tokens, positions become random Fourier features.

Point prompts are not used by RepMedSAM; their parameters are kept, so that published checkpoints load.
"""

import math

import torch
from torch import Tensor, nn

from repmedsam_infer.network.norm import LayerNorm2d

POINT_KINDS = 4  # background point, foreground point, and a box's corners:
TOP_LEFT, BOTTOM_RIGHT = 2, 3


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
        """Encoding of the cell centres of a grid: (height * width, 2 * features), rows first."""
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
        """The dense prompt where no mask is given: (1, C, 1, 1)."""
        return self.no_mask_embed.get_parameter("weight")[:, :, None, None]

    def mask(self, logits: Tensor) -> Tensor:
        """The dense prompt of masks: (N, 1, 4G, 4G) logits -> (N, C, G, G)."""
        return self.mask_downscaling(logits)
