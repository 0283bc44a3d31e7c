"""LiteMedSAM's image encoder: TinyViT on 256 x 256 pixels at full resolution, the challenge's baseline.

Teacher of the distillation (paper section 2.2), and what RepMedSAM is compared with. Attribute names follow the
published checkpoint, which therefore loads unchanged. Its stem does not downsample: hence its 37.5 GMAC.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from repmedsam_infer.network.repvit import Conv2dBN, neck


class Stage(NamedTuple):
    """One resolution: `window` 0 means convolutional blocks; `stride` is of the downsampling behind the blocks."""

    channels: int
    blocks: int
    heads: int
    window: int
    stride: int | None


STAGES = (Stage(64, 2, 2, 0, 2), Stage(128, 2, 4, 7, 2), Stage(160, 6, 5, 14, 1), Stage(320, 2, 10, 7, None))
EXPANSION = 4


class PatchEmbed(nn.Module):
    """Two 1 x 1 conv-BN at full resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(Conv2dBN(3, channels // 2), nn.GELU(), Conv2dBN(channels // 2, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.seq(x)


class MBConv(nn.Module):
    """Inverted bottleneck with a residual, activated after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = EXPANSION * channels
        self.conv1 = Conv2dBN(channels, hidden)
        self.conv2 = Conv2dBN(hidden, hidden, 3, groups=hidden)
        self.conv3 = Conv2dBN(hidden, channels, scale=0.0)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.gelu(self.conv1(x))
        inner = functional.gelu(self.conv2(inner))
        return functional.gelu(x + self.conv3(inner))


class Downsample(nn.Module):
    """1 x 1, depthwise 3 x 3 with the stride, 1 x 1."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2dBN(in_channels, channels)
        self.conv2 = Conv2dBN(channels, channels, 3, stride, groups=channels)
        self.conv3 = Conv2dBN(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.conv1(x))
        return self.conv3(functional.gelu(self.conv2(x)))


class WindowAttention(nn.Module):
    """Attention within windows, with a learned bias for each distance (|dy|, |dx|) and head."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        y, x = (a.flatten() for a in torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"))
        distance = (y[:, None] - y).abs() * window + (x[:, None] - x).abs()
        self.distance: Tensor
        self.register_buffer("distance", distance, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(windows, window^2, C) -> the same."""
        count, length, channels = x.shape
        # Each head's queries, keys and values lie together.
        split = self.qkv(self.norm(x)).reshape(count, length, self.heads, -1).transpose(1, 2)
        q, k, v = split.chunk(3, -1)
        bias = self.attention_biases[:, self.distance]
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype)[None])
        return self.proj(out.transpose(1, 2).reshape(count, length, channels))


class MLP(nn.Module):
    """Normalisation and two linear layers with a GELU between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, EXPANSION * channels)
        self.fc2 = nn.Linear(EXPANSION * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(self.norm(x))))


class WindowBlock(nn.Module):
    """Window attention, a depthwise 3 x 3 convolution, MLP; (B, C, H, W) -> the same."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(channels, heads, window)
        self.mlp = MLP(channels)
        self.local_conv = Conv2dBN(channels, channels, 3, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.local_conv(x + self.attend(x))
        tokens = x.permute(0, 2, 3, 1)
        return x + self.mlp(tokens).permute(0, 3, 1, 2)

    def attend(self, x: Tensor) -> Tensor:
        """Attention in windows; the image is zero-padded to whole ones, and the padding takes part."""
        batch, channels, height, width = x.shape
        w = self.window
        padded = functional.pad(x, (0, -width % w, 0, -height % w))
        rows, columns = padded.shape[2] // w, padded.shape[3] // w
        windows = padded.reshape(batch, channels, rows, w, columns, w).permute(0, 2, 4, 3, 5, 1)
        out = self.attn(windows.reshape(-1, w * w, channels))
        out = out.reshape(batch, rows, columns, w, w, channels).permute(0, 5, 1, 3, 2, 4)
        return out.reshape(padded.shape)[:, :, :height, :width]


class Layer(nn.Module):
    """The blocks of a stage and the downsampling behind them."""

    def __init__(self, stage: Stage, channels_after: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            WindowBlock(stage.channels, stage.heads, stage.window) if stage.window else MBConv(stage.channels)
            for _ in range(stage.blocks)
        )
        self.downsample = Downsample(stage.channels, channels_after, stage.stride) if stage.stride else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class TinyViT(nn.Module):
    """Image encoder: (B, 3, H, W) float in [0, 1] -> (B, 256, H / 4, W / 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(STAGES[0].channels)
        after = [stage.channels for stage in STAGES[1:]] + [STAGES[-1].channels]
        self.layers = nn.ModuleList(Layer(*item) for item in zip(STAGES, after, strict=True))
        self.neck = neck(STAGES[-1].channels)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch_embed(images)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x)
