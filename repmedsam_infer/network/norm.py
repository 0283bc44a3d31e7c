"""Layer normalisation over the channels of an image, shared by the neck, the prompt encoder and the mask decoder."""

import torch
from torch import Tensor, nn

FEW = 16  # channels


class LayerNorm2d(nn.Module):
    """Normalise each position of (B, C, H, W) over its C channels, as SAM's neck does.

    Written out rather than permuted to channels-last, so that the exported graph has no transposes. With few channels
    engines would be slow at that, too: they keep the channels of a position together, and work on them in sixteens.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps
        self.few = channels < FEW

    def forward(self, x: Tensor) -> Tensor:
        if self.few:
            return self.normalised(x.flatten(2)).unflatten(2, x.shape[2:])
        return self.normalised(x)

    def normalised(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same."""
        centred = x - x.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True)
        of_channels = (-1, *[1] * (x.dim() - 2))
        normalised = centred / torch.sqrt(variance + self.eps)
        return normalised * self.weight.reshape(of_channels) + self.bias.reshape(of_channels)
