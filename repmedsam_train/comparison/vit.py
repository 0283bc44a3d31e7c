"""MedSAM's image encoder: SAM's ViT-B on 1024 x 1024 pixels.

Attribute names follow the published checkpoint, which therefore loads unchanged. Most blocks attend within windows,
four to the whole image; all add what a query makes of how many rows and how many columns away a key is (decomposed
relative positions, MViTv2).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from repmedsam_infer.network.repvit import neck

PATCH = 16  # pixels
EXPANSION = 4
EPS = 1e-6  # of the normalisations


class PatchEmbed(nn.Module):
    """Patches of PATCH x PATCH pixels to tokens: (B, 3, S, S) -> (B, S / PATCH, S / PATCH, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, PATCH, PATCH)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).permute(0, 2, 3, 1)


class Attention(nn.Module):
    """Attention among the tokens of a square of `side` x `side`: (B, side, side, C) -> the same."""

    def __init__(self, channels: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, channels // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, channels // heads))

    def forward(self, x: Tensor) -> Tensor:
        batch, side, _, channels = x.shape
        split = self.qkv(x).reshape(batch, side * side, 3, self.heads, -1)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, side * side, C / heads)
        bias = self.position_bias(q, side)
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(1, 2).reshape(batch, side, side, channels))

    def position_bias(self, q: Tensor, side: int) -> Tensor:
        """(B, heads, side * side, c) queries -> (B, heads, side * side, side * side), added to products with keys.

        A query meets two learned vectors: that of the distance in rows and that of the distance in columns.
        """
        at = torch.arange(side, device=q.device)
        distance = at[:, None] - at + side - 1  # of a query at the first index from a key at the second
        by_place = q.unflatten(2, (side, side))
        of_rows = torch.einsum("bnyxc,ykc->bnyxk", by_place, self.rel_pos_h[distance])
        of_columns = torch.einsum("bnyxc,xkc->bnyxk", by_place, self.rel_pos_w[distance])
        return (of_rows[..., :, None] + of_columns[..., None, :]).flatten(4).flatten(2, 3)


class MLP(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(channels, EXPANSION * channels)
        self.lin2 = nn.Linear(EXPANSION * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(functional.gelu(self.lin1(x)))


class Block(nn.Module):
    """Attention and MLP, each with a residual, of `side` x `side` tokens; `window` 0 attends to all of them."""

    def __init__(self, channels: int, heads: int, side: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(channels, EPS)
        self.attn = Attention(channels, heads, window or side)
        self.norm2 = nn.LayerNorm(channels, EPS)
        self.mlp = MLP(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, side, side, C) -> the same."""
        normalised = self.norm1(x)
        x = x + (self.in_windows(normalised) if self.window else self.attn(normalised))
        return x + self.mlp(self.norm2(x))

    def in_windows(self, x: Tensor) -> Tensor:
        """Attention in windows; the tokens are zero-padded to whole ones, and the padding takes part."""
        batch, height, width, channels = x.shape
        w = self.window
        padded = functional.pad(x, (0, 0, 0, -width % w, 0, -height % w))
        rows, columns = padded.shape[1] // w, padded.shape[2] // w
        windows = padded.reshape(batch, rows, w, columns, w, channels).transpose(2, 3)
        out = self.attn(windows.reshape(-1, w, w, channels))
        out = out.reshape(batch, rows, columns, w, w, channels).transpose(2, 3)
        return out.reshape(padded.shape)[:, :height, :width]


class ViT(nn.Module):
    """Image encoder: (B, 3, size, size) float in [0, 1] -> (B, 256, size / 16, size / 16). The defaults are ViT-B."""

    def __init__(
        self,
        size: int = 1024,
        channels: int = 768,
        depth: int = 12,
        heads: int = 12,
        window: int = 14,
        whole: tuple[int, ...] = (2, 5, 8, 11),
    ) -> None:
        """Of a square image of `size` pixels, for which the positions are learned; blocks `whole` have no windows."""
        super().__init__()
        side = size // PATCH
        self.patch_embed = PatchEmbed(channels)
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, channels))
        self.blocks = nn.ModuleList(
            Block(channels, heads, side, 0 if index in whole else window) for index in range(depth)
        )
        self.neck = neck(channels)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch_embed(images) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))
