"""Fine features for the decoder's upscaling, as SAM 2 has them: what the encoder saw at strides 8 and 4.

Without them every border has to pass through the embedding, a vector for 16 x 16 pixels. They are projected once an
image and travel inside the embedding, folded into its channels: encode still gives one array, and decode takes one.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

COARSE, MIDDLE, FINE = 256, 64, 32  # channels at G, 2G and 4G, those of the decoder's upscaling
PACKED_CHANNELS = COARSE + 4 * MIDDLE + 16 * FINE


class Skips(NamedTuple):
    """Middle (M, 64, 2G, 2G) and fine (M, 32, 4G, 4G) features."""

    middle: Tensor
    fine: Tensor


class HighRes(nn.Module):
    """Projects the encoder's finer stages to the widths of the decoder's upscaling."""

    def __init__(self, middle_channels: int, fine_channels: int) -> None:
        super().__init__()
        self.middle = nn.Conv2d(middle_channels, MIDDLE, 1)
        self.fine = nn.Conv2d(fine_channels, FINE, 1)

    def forward(self, embedding: Tensor, middle: Tensor, fine: Tensor) -> Tensor:
        """Embedding (M, 256, G, G), stride-8 and stride-4 features -> one packed embedding (M, 1024, G, G)."""
        side = embedding.shape[-1]
        skips = [resized(self.middle(middle), 2 * side), resized(self.fine(fine), 4 * side)]
        folded = [functional.pixel_unshuffle(x, x.shape[-1] // side) for x in skips]
        return torch.cat([embedding, *folded], 1)


def unpack(packed: Tensor) -> tuple[Tensor, Skips]:
    """The embedding and the skips of what `HighRes` packed."""
    embedding, middle, fine = packed.split([COARSE, 4 * MIDDLE, 16 * FINE], 1)
    return embedding, Skips(functional.pixel_shuffle(middle, 2), functional.pixel_shuffle(fine, 4))


def resized(x: Tensor, side: int) -> Tensor:
    """Nothing changes where the side is right already, as it is for 256 x 256 images at grid 16."""
    return functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
