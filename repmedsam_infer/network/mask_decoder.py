"""SAM's mask decoder with a single mask a box: embedding and box tokens to low_res_logits and a predicted IoU."""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from repmedsam_infer.network.norm import LayerNorm2d
from repmedsam_infer.network.prompt_encoder import PromptEncoder
from repmedsam_infer.network.transformer import TwoWayTransformer

MASK_TOKENS = 4  # one for a single mask (used here), three for multi-mask output (kept for published checkpoints)
SINGLE = 0


class HeadMLP(nn.Module):
    """`depth` linear layers with ReLUs between them."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int, depth: int = 3) -> None:
        super().__init__()
        widths = [in_channels, *[hidden] * (depth - 1), out_channels]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


class MaskDecoder(nn.Module):
    """(N, G * G, 256) embeddings and (N, 2, 256) box tokens -> (N, 1, 4G, 4G) logits and (N, 1) predicted IoU."""

    def __init__(self, channels: int = 256) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(channels)
        self.iou_token = nn.Embedding(1, channels)
        self.mask_tokens = nn.Embedding(MASK_TOKENS, channels)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(channels, channels // 4, 2, 2),
            LayerNorm2d(channels // 4),
            nn.GELU(),
            nn.ConvTranspose2d(channels // 4, channels // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            HeadMLP(channels, channels, channels // 8) for _ in range(MASK_TOKENS)
        )
        self.iou_prediction_head = HeadMLP(channels, 256, MASK_TOKENS)

    def forward(
        self,
        image: Tensor,
        image_pe: Tensor,
        box_tokens: Tensor,
        skips: tuple[Tensor, Tensor] | None = None,
        mask_of: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`image` (N, G * G, C) of each box by position, with its dense prompt added; image_pe (G * G, C), box_tokens
        (N, 2, C); `skips`, if the network has them, (N, C / 4, 2G, 2G) and (N, C / 8, 4G, 4G), are added on the way up;
        `mask_of` makes logits of features (N, C / 8, 4G, 4G) and kernel (N, C / 8) in place of their product.
        """
        grid = math.isqrt(image_pe.shape[0])
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output_tokens.expand(box_tokens.shape[0], -1, -1), box_tokens], 1)  # (N, T, C)

        tokens, image = self.transformer(tokens, image, image_pe)

        upscaled = self.upscale(image.unflatten(1, (grid, grid)).permute(0, 3, 1, 2), skips)  # (N, C / 8, 4G, 4G)
        kernel = self.output_hypernetworks_mlps[SINGLE](tokens[:, 1 + SINGLE])  # (N, C / 8)
        if mask_of is None:
            logits = (kernel[:, None] @ upscaled.flatten(2)).unflatten(2, upscaled.shape[-2:])
        else:
            logits = mask_of(upscaled, kernel)
        iou = self.iou_prediction_head(tokens[:, 0])[:, SINGLE : SINGLE + 1]
        return logits, iou

    def upscale(self, image: Tensor, skips: tuple[Tensor, Tensor] | None) -> Tensor:
        """(N, C, G, G) -> (N, C / 8, 4G, 4G), with the finer features added on the way."""
        if skips is None:
            return self.output_upscaling(image)
        twice, norm, activation, four_times, _ = self.output_upscaling
        middle = activation(norm(twice(image) + skips[0]))
        return activation(four_times(middle) + skips[1])


def decode_frame(
    prompt_encoder: PromptEncoder,
    mask_decoder: MaskDecoder,
    embedding: Tensor,
    box_tokens: Tensor,
    image_index: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """SAM's heads as published: (M, C, G, G) embeddings, (N, 2, C) tokens of boxes, the image (N,) that each is on (all
    on the first where None) -> logits over the whole frame and IoU.
    """
    image_pe = prompt_encoder.pe_layer.grid(*embedding.shape[-2:])
    prompted = embedding + prompt_encoder.no_mask()
    of_boxes = prompted.expand(box_tokens.shape[0], -1, -1, -1) if image_index is None else prompted[image_index]
    return mask_decoder(of_boxes.flatten(2).transpose(1, 2), image_pe, box_tokens)
