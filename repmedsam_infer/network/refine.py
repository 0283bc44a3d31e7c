"""A small U-Net over the decoder's features of an ROI: borders, gaps, neighbours and the shape as a whole.

SAM's mask is a product of features and a kernel, position by position. In an ROI every object has the same size, so
that few channels go far. It is made of convolutions with batch normalisation, which re-parameterization folds.
"""

import itertools

from torch import Tensor, nn
from torch.nn import functional

from repmedsam_infer.network.repvit import Conv2dBN

WIDTHS = (16, 32, 64, 128)  # at 4G, 2G, G and G / 2


class Down(nn.Module):
    """(N, C, H, W) -> (N, C', H / 2, W / 2)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.reduce = Conv2dBN(in_channels, channels, 3, stride=2)
        self.mix = Conv2dBN(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.reduce(x))
        return x + functional.gelu(self.mix(x))


class Up(nn.Module):
    """(N, C, H, W) and (N, C', 2H, 2W) of the way down -> (N, C', 2H, 2W)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(in_channels, channels, 1)
        self.mix = Conv2dBN(channels, channels, 3)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = functional.interpolate(self.narrow(x), scale_factor=2.0, mode="nearest") + skip
        return x + functional.gelu(self.mix(x))


class Refine(nn.Module):
    """(N, C, H, W) maps -> (N, 1, H, W), 0 before training; H and W multiples of 8."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.enter = Conv2dBN(in_channels, WIDTHS[0], 3)
        steps = list(itertools.pairwise(WIDTHS))
        self.down = nn.ModuleList(Down(fine, coarse) for fine, coarse in steps)
        self.up = nn.ModuleList(Up(coarse, fine) for fine, coarse in reversed(steps))
        self.leave = nn.Conv2d(WIDTHS[0], 1, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        levels = [functional.gelu(self.enter(x))]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for up in self.up:
            x = up(x, levels.pop())
        return self.leave(x)
