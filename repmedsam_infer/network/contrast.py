"""What is in a box against what is around it: a nearest-mean classifier on the decoder's features.

SAM's mask is a product of features and a kernel that a token has to work out by attention. Here the difference of the
two means is added to that kernel: whatever features separate inside from outside are used from the first step on, and
training makes features that separate well. One number is learned: how much a difference counts.
"""

import math

import torch
from torch import Tensor, nn

INNER = 0.8  # logits of the box prior above which a position counts as inside (0.8 of the way out to the ellipse)
OUTER = (-5.0, -0.6)  # and between which as around: from just outside the ellipse to over twice as far out
SHARPNESS = 3.0
FIRST_SCALE = 3.0


class Contrast(nn.Module):
    """(N, C, H, W) features and their (N, 1, H, W) box prior -> kernel (N, C) and bias (N,) to add."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))

    def forward(self, features: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
        inside = torch.sigmoid(SHARPNESS * (prior - INNER))
        around = torch.sigmoid(SHARPNESS * (OUTER[1] - prior)) * torch.sigmoid(SHARPNESS * (prior - OUTER[0]))
        mean_inside, mean_around = weighted_mean(features, inside), weighted_mean(features, around)
        # scale / 2 * (|f - around|^2 - |f - inside|^2) = kernel . f + bias
        scale = self.log_scale.exp()
        kernel = scale * (mean_inside - mean_around)
        bias = scale / 2 * (mean_around.square() - mean_inside.square()).sum(1)
        return kernel, bias


def weighted_mean(features: Tensor, weights: Tensor) -> Tensor:
    """(N, C, H, W), (N, 1, H, W) -> (N, C)."""
    total = weights.sum((2, 3)).clamp(min=1e-3)
    return (features.flatten(2) @ weights.flatten(2).transpose(1, 2))[..., 0] / total
