"""Layer normalisation over the channels of an image, shared by the neck, the prompt encoder and the mask decoder."""

import torch
from torch import Tensor, nn


class LayerNorm2d(nn.Module):
    """Normalise each position of (B, C, H, W) over its C channels, as SAM's neck does.

    Written out rather than permuted to channels-last, so that the exported graph has no transposes.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True)
        normalised = centred / torch.sqrt(variance + self.eps)
        return normalised * self.weight[:, None, None] + self.bias[:, None, None]
