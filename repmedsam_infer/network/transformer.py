"""SAM's two-way transformer: prompt tokens look at the image, the image looks back at them.

T prompt tokens, P = height * width image positions, C channels. As long as the image side has not met a prompt it is
the same for all N boxes of an image, so the first layer projects it once for each of the M images, not for each box.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than C."""

    def __init__(self, channels: int, heads: int, downsample: int = 1) -> None:
        super().__init__()
        inner = channels // downsample
        self.heads = heads
        self.q_proj = nn.Linear(channels, inner)
        self.k_proj = nn.Linear(channels, inner)
        self.v_proj = nn.Linear(channels, inner)
        self.out_proj = nn.Linear(inner, channels)

    def split(self, x: Tensor) -> Tensor:
        """(N, L, inner) -> (N, heads, L, inner / heads)."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, x.shape[2] // self.heads).transpose(1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Already projected q, k, v (N, L, inner) -> (N, L_q, C)."""
        out = functional.scaled_dot_product_attention(self.split(q), self.split(k), self.split(v))
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.attend(self.q_proj(q), self.k_proj(k), self.v_proj(v))


class MLP(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(channels, hidden)
        self.lin2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(torch.relu(self.lin1(x)))


class TwoWayBlock(nn.Module):
    """Self-attention of the tokens, tokens to image, MLP on the tokens, image to tokens."""

    def __init__(self, channels: int, heads: int, hidden: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(channels, heads)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn_token_to_image = Attention(channels, heads, downsample=2)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = MLP(channels, hidden)
        self.norm3 = nn.LayerNorm(channels)
        self.norm4 = nn.LayerNorm(channels)
        self.cross_attn_image_to_token = Attention(channels, heads, downsample=2)

    def forward(
        self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor, image_index: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """tokens, token_pe (N, T, C), image_pe (P, C); image (M, P, C) with `image_index` (N,) naming each box's
        image, or (N, P, C) with `image_index` None. Returns tokens (N, T, C) and image (N, P, C).
        """

        def per_box(x: Tensor) -> Tensor:
            return x if image_index is None else x[image_index]

        if self.first:  # the tokens are their own positions there, and there is nothing to add to
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)

        placed = image + image_pe
        attn = self.cross_attn_token_to_image
        seen = attn.attend(attn.q_proj(tokens + token_pe), per_box(attn.k_proj(placed)), per_box(attn.v_proj(image)))
        tokens = self.norm2(tokens + seen)
        tokens = self.norm3(tokens + self.mlp(tokens))

        attn = self.cross_attn_image_to_token
        told = attn.attend(per_box(attn.q_proj(placed)), attn.k_proj(tokens + token_pe), attn.v_proj(tokens))
        return tokens, self.norm4(per_box(image) + told)


class TwoWayTransformer(nn.Module):
    """`depth` two-way blocks and a last look of the tokens at the image."""

    def __init__(self, channels: int = 256, depth: int = 2, heads: int = 8, hidden: int = 2048) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(channels, heads, hidden, first=i == 0) for i in range(depth))
        self.final_attn_token_to_image = Attention(channels, heads, downsample=2)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(
        self, tokens: Tensor, image: Tensor, image_pe: Tensor, image_index: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """As in the blocks: `image` is (M, P, C), or (N, P, C) where `image_index` is None."""
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe, image_index)
            image_index = None  # from here on every box has an image side of its own
        seen = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + seen), image
