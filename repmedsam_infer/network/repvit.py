"""RepViT-M2.3, the image encoder (RepViT-SAM; paper section 2.1), in its training and its inference form.

The training form has 23,158,920 parameters, the re-parameterized one 23,040,480; both compute the same function.
Every layer that can be folded carries its own `fuse()`, next to the forward that it must reproduce.
Attribute names follow the published checkpoints, which therefore load unchanged.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from repmedsam_infer.network.norm import LayerNorm2d


class Stage(NamedTuple):
    """One resolution of the encoder: `blocks` blocks behind an optional downsampling block of stride `stride`."""

    channels: int
    blocks: int
    stride: int | None


STEM_CHANNELS = (40, 80)
STAGES = (Stage(80, 7, None), Stage(160, 7, 2), Stage(320, 35, 2), Stage(640, 2, 1))
EMBEDDING_CHANNELS = 256
STRIDE = 16  # pixels of the image per position of the embedding


class Conv2dBN(nn.Module):
    """Bias-free convolution and batch normalisation, `c` and `bn` in the published checkpoints."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        nn.init.constant_(self.bn.weight, scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.c(x))

    @torch.no_grad()
    def fuse(self) -> nn.Conv2d:
        """Return the one convolution with bias that equals this pair in eval mode."""
        weight, bias = fold_batch_norm(self.c.weight, torch.zeros_like(self.bn.bias), self.bn)
        return conv_like(self.c, weight, bias)


class RepVGGDepthwise(nn.Module):
    """Token mixer: depthwise 3x3 + depthwise 1x1 + identity, then a batch normalisation over their sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2dBN(channels, channels, 3, groups=channels)
        self.conv1 = nn.Conv2d(channels, channels, 1, groups=channels)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x) + self.conv1(x) + x)

    @torch.no_grad()
    def fuse(self) -> nn.Conv2d:
        """All three branches and the normalisation as one depthwise 3x3 convolution."""
        conv = self.conv.fuse()
        assert conv.bias is not None and self.conv1.bias is not None
        weight = conv.weight.clone()
        weight[:, :, 1, 1] += (
            self.conv1.weight[:, :, 0, 0] + 1
        )  # 1x1 kernel and identity sit at the 3x3 kernel's centre
        weight, bias = fold_batch_norm(weight, conv.bias + self.conv1.bias, self.bn)
        return conv_like(conv, weight, bias)


class SqueezeExcite(nn.Module):
    """Rescale each channel by a gate computed from the channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = max(8, (channels // 4 + 4) // 8 * 8)  # a quarter, rounded to a multiple of 8
        self.fc1 = nn.Conv2d(channels, reduced, 1)
        self.fc2 = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class ChannelMixer(nn.Module):
    """Residual of 1x1 conv-BN to twice the width, GELU, 1x1 conv-BN back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The last normalisation starts at 0, so that every block starts as the identity.
        self.m = nn.Sequential(Conv2dBN(channels, 2 * channels), nn.GELU(), Conv2dBN(2 * channels, channels, scale=0.0))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.m(x)


class RepViTBlock(nn.Module):
    """(B, C_in, H, W) -> (B, C, H / stride, W / stride); `stride` None keeps both the width and the resolution."""

    def __init__(self, in_channels: int, channels: int, stride: int | None, *, squeeze_excite: bool) -> None:
        super().__init__()
        gate = SqueezeExcite(in_channels) if squeeze_excite else nn.Identity()
        if stride is None:
            self.token_mixer = nn.Sequential(RepVGGDepthwise(channels), gate)
        else:
            depthwise = Conv2dBN(in_channels, in_channels, 3, stride, groups=in_channels)
            self.token_mixer = nn.Sequential(depthwise, gate, Conv2dBN(in_channels, channels))
        self.channel_mixer = ChannelMixer(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.channel_mixer(self.token_mixer(x))


class RepViT(nn.Module):
    """Image encoder: (B, 3, H, W) float in [0, 1] -> (B, 256, H / 16, W / 16), H and W multiples of 16."""

    def __init__(self) -> None:
        super().__init__()
        stem, width = STEM_CHANNELS
        features: list[nn.Module] = [
            nn.Sequential(Conv2dBN(3, stem, 3, 2), nn.GELU(), Conv2dBN(stem, width, 3, 2)),
        ]
        for stage in STAGES:
            if stage.stride is not None:
                features.append(RepViTBlock(width, stage.channels, stage.stride, squeeze_excite=False))
                width = stage.channels
            # Squeeze-excite on every second block from the first, never on a stage's last.
            features += [
                RepViTBlock(width, width, None, squeeze_excite=i % 2 == 0 and i < stage.blocks - 1)
                for i in range(stage.blocks)
            ]
        self.features = nn.ModuleList(features)
        self.neck = neck(width)

    def forward(self, images: Tensor) -> Tensor:
        return self.pyramid(images)[-1]

    def pyramid(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute features of four scales.

        Returns:
            Of the stem's first half (B, 40, H / 2, W / 2), the first stage (B, 80, H / 4, W / 4), the second stage
            (B, 160, H / 8, W / 8), and the embedding.

        """
        half, activation, quarter = self.features[0].children()
        finest = activation(half(images))
        x = quarter(finest)
        stages: list[Tensor] = []
        position = 1
        for stage in STAGES:
            blocks = stage.blocks + (stage.stride is not None)
            for block in self.features[position : position + blocks]:
                x = block(x)
            position += blocks
            stages.append(x)
        return finest, stages[0], stages[1], self.neck(x)


def neck(channels: int) -> nn.Sequential:
    """Return the last stage to the embedding, as SAM has it: (B, channels, H, W) -> (B, 256, H, W)."""
    return nn.Sequential(
        nn.Conv2d(channels, EMBEDDING_CHANNELS, 1, bias=False),
        LayerNorm2d(EMBEDDING_CHANNELS),
        nn.Conv2d(EMBEDDING_CHANNELS, EMBEDDING_CHANNELS, 3, padding=1, bias=False),
        LayerNorm2d(EMBEDDING_CHANNELS),
    )


def fold_batch_norm(weight: Tensor, bias: Tensor, bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what (weight, bias) followed by `bn` does in eval mode."""
    assert bn.running_mean is not None and bn.running_var is not None
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    return weight * scale[:, None, None, None], (bias - bn.running_mean) * scale + bn.bias


def conv_like(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """Return a convolution of `conv`'s geometry with the given weight and a bias."""
    out = nn.utils.skip_init(
        nn.Conv2d,
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        groups=conv.groups,
        device=weight.device,
        dtype=weight.dtype,
    )
    out.weight = nn.Parameter(weight)
    out.bias = nn.Parameter(bias)
    return out
