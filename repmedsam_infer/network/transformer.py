"""SAM's two-way transformer: prompt tokens attend to the image, the image attends to them.

T prompt tokens, P = height * width image positions, C channels, N boxes.
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

    def join(self, x: Tensor) -> Tensor:
        """(N, heads, L, inner / heads) -> (N, L, inner)."""
        return x.transpose(1, 2).flatten(2)

    @property
    def scale(self) -> float:
        """What scaled dot products are multiplied with."""
        return (self.heads / self.q_proj.out_features) ** 0.5

    def by_head(self, weight: Tensor) -> Tensor:
        """(inner, C) weights of a projection -> (heads, inner / heads, C)."""
        return weight.unflatten(0, (self.heads, -1))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(N, L_q, C) queries, (N, L, C) keys and values -> (N, L_q, C)."""
        q, k, v = self.split(self.q_proj(q)), self.split(self.k_proj(k)), self.split(self.v_proj(v))
        return self.out_proj(self.join(functional.scaled_dot_product_attention(q, k, v)))


class LookAtImage(Attention):
    """T tokens attend to P image positions, re-associated: with P many times T, it is the tokens that are projected.

    q (W k) = (q W) k, and a W v = (a v) W: equal to `Attention`, at half the work. The keys' bias is left out, as
    softmax takes away what is the same for all keys; the values' bias comes back whole, as attention adds up to 1.
    """

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(N, T, C) queries, (N, P, C) keys and values -> (N, T, C)."""
        queries = self.split(self.q_proj(q)) * self.scale
        asked = (queries @ self.by_head(self.k_proj.weight)).flatten(1, 2)  # (N, heads * T, C)
        attention = (asked @ k.transpose(1, 2)).softmax(-1)  # (N, heads * T, P)
        attended = (attention @ v).unflatten(1, (self.heads, -1))  # (N, heads, T, C)
        return self.out_proj(self.join(attended @ self.by_head(self.v_proj.weight).transpose(1, 2)) + self.v_proj.bias)


class TellImage(Attention):
    """P image positions attend to T tokens, re-associated as in `LookAtImage`."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(N, P, C) queries, (N, T, C) keys and values -> (N, P, C)."""
        keys = self.split(self.k_proj(k)) * self.scale
        offset = keys @ self.q_proj.bias.unflatten(0, (self.heads, -1))[..., None]  # (N, heads, T, 1)
        asked = (keys @ self.by_head(self.q_proj.weight)).flatten(1, 2)  # (N, heads * T, C)
        scores = (asked @ q.transpose(1, 2)).unflatten(1, (self.heads, -1)) + offset
        attention = scores.softmax(2).flatten(1, 2)  # (N, heads * T, P)
        values = self.split(self.v_proj(v)) @ self.by_head(self.out_proj.weight.T)
        return attention.transpose(1, 2) @ values.flatten(1, 2) + self.out_proj.bias


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

    def __init__(self, channels: int, heads: int, hidden: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(channels, heads)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn_token_to_image = LookAtImage(channels, heads, downsample=2)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = MLP(channels, hidden)
        self.norm3 = nn.LayerNorm(channels)
        self.norm4 = nn.LayerNorm(channels)
        self.cross_attn_image_to_token = TellImage(channels, heads, downsample=2)

    def forward(self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """tokens, token_pe (N, T, C), image (N, P, C), image_pe (P, C) -> tokens (N, T, C) and image (N, P, C)."""
        if self.first:  # the tokens are their own positions there, and there is nothing to add to
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)

        placed = image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, placed, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        return tokens, self.norm4(image + self.cross_attn_image_to_token(placed, tokens + token_pe, tokens))


class TwoWayTransformer(nn.Module):
    """`depth` two-way blocks and a last attention of the tokens to the image."""

    def __init__(self, channels: int = 256, depth: int = 2, heads: int = 8, hidden: int = 2048) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(channels, heads, hidden, first=i == 0) for i in range(depth))
        self.final_attn_token_to_image = LookAtImage(channels, heads, downsample=2)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, image: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """As in the blocks."""
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        attended = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + attended), image
