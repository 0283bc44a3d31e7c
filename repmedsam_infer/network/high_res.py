"""Fine features for the decoder's upscaling, as SAM 2 has them: what the encoder saw at strides 8, 4 and 2.

Without them every border has to pass through the embedding, a vector for 16 x 16 pixels. They are projected once an
image and travel inside the embedding, folded into its channels: encode still gives one array, and decode takes one.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

COARSE, MIDDLE, FINE, FINEST = 256, 64, 32, 8  # channels at strides 16, 8, 4 and 2
FOLDS = (1, 2, 4, 8)
PACKED_CHANNELS = COARSE + 4 * MIDDLE + 16 * FINE + 64 * FINEST


class Pyramid(NamedTuple):
    """Embedding (M, 256, h, w), or by position (M, h * w, 256), and finer features: (M, 64, 2h, 2w), (M, 32, 4h, 4w)
    and (M, 8, 8h, 8w).
    """

    coarse: Tensor
    middle: Tensor
    fine: Tensor
    finest: Tensor


class HighRes(nn.Module):
    """Projects the encoder's finer features, and makes of them what the decoder's upscaling adds."""

    def __init__(self, middle_channels: int, fine_channels: int, finest_channels: int) -> None:
        super().__init__()
        self.middle = nn.Conv2d(middle_channels, MIDDLE, 1)
        self.fine = nn.Conv2d(fine_channels, FINE, 1)
        self.finest = nn.Conv2d(finest_channels, FINEST, 1)
        self.widen = nn.Conv2d(FINEST, FINE, 1, bias=False)
        nn.init.zeros_(self.widen.weight)  # at first it changes nothing

    def pack(self, coarse: Tensor, middle: Tensor, fine: Tensor, finest: Tensor) -> Tensor:
        """Pack the encoder's features at strides 16, 8, 4 and 2 into one embedding (M, PACKED_CHANNELS, h, w)."""
        projected = (coarse, self.middle(middle), self.fine(fine), self.finest(finest))
        return torch.cat([functional.pixel_unshuffle(x, fold) for x, fold in zip(projected, FOLDS, strict=True)], 1)

    def skips(self, pyramid: Pyramid) -> tuple[Tensor, Tensor]:
        """Return what is added at twice and at four times the decoder's grid, where fine and finest have one size."""
        return pyramid.middle, pyramid.fine + self.widen(pyramid.finest)


def unpack(packed: Tensor) -> Pyramid:
    """Return what `HighRes.pack` packed."""
    parts = packed.split([COARSE, 4 * MIDDLE, 16 * FINE, 64 * FINEST], 1)
    return Pyramid(*(functional.pixel_shuffle(x, fold) for x, fold in zip(parts, FOLDS, strict=True)))
