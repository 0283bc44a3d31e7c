"""From features to a mask by what is in the box against what is around it.

SAM's mask is a product of features and a kernel that a token has to work out by attention. Here the features' means
inside and around the box are compared as well: their difference is added to the kernel, which makes it a nearest-mean
classifier; and how near every position is to either mean goes, with the logits so far and the features themselves,
through refine.py, which covers what no product of single positions can.
"""

import math

import torch
from torch import Tensor, nn

from repmedsam_infer.network.high_res import FINE, FINEST
from repmedsam_infer.network.refine import Refine

INNER = 0.8  # logits of the box prior above which a position counts as inside (0.8 of the way out to the ellipse)
OUTER = (-5.0, -0.6)  # and between which as around: from just outside the ellipse to over twice as far out
SHARPNESS = 3.0
FIRST_SCALE = 3.0
EVIDENCE = 4  # maps that the refinement takes besides the features
CONFIDENT = 4.0  # logits are divided by this and clipped at three times it


class Contrast(nn.Module):
    """Features (N, 32, H, W), kernel (N, 32), finest (N, 8, H, W) and prior (N, 1, H, W) -> logits (N, 1, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))
        self.refine = Refine(EVIDENCE + FINE + FINEST)

    def forward(self, features: Tensor, kernel: Tensor, finest: Tensor, prior: Tensor) -> Tensor:
        # What is one number a position is (N, P), P = H * W: engines are fast at that, and slow at maps of one channel.
        start = prior.flatten(1)
        inside = torch.sigmoid(SHARPNESS * (start - INNER))
        around = torch.sigmoid(SHARPNESS * (OUTER[1] - start)) * torch.sigmoid(SHARPNESS * (start - OUTER[0]))
        flat = features.flatten(2)
        mean_inside, mean_around = weighted_mean(flat, inside), weighted_mean(flat, around)

        # scale / 2 * (|f - around|^2 - |f - inside|^2) = difference . f + bias
        scale = self.log_scale.exp()
        difference = scale * (mean_inside - mean_around)
        bias = scale / 2 * (mean_around.square() - mean_inside.square()).sum(1, keepdim=True)
        logits = products(kernel + difference, flat) + bias + start

        # |f - mean|^2 = |f|^2 - 2 mean . f + |mean|^2, in units of how much the features vary around their means
        squares = (flat * flat).sum(1)
        far_inside, far_around = distance(flat, squares, mean_inside), distance(flat, squares, mean_around)
        means = weighted_mean(far_inside[:, None], inside), weighted_mean(far_around[:, None], around)
        spread = (means[0] + means[1]) / 2 + 1e-4  # (N, 1)
        evidence = [
            start / CONFIDENT,
            (logits / CONFIDENT).clamp(-3, 3),
            torch.log1p(far_inside / spread),
            torch.log1p(far_around / spread),
        ]
        maps = torch.stack(evidence, 1).unflatten(2, prior.shape[2:])
        return logits.reshape(prior.shape) + CONFIDENT * self.refine(torch.cat([maps, features, finest], 1))


def weighted_mean(features: Tensor, weights: Tensor) -> Tensor:
    """(N, C, P), (N, P) -> (N, C)."""
    return (features @ weights[..., None])[..., 0] / weights.sum(1, keepdim=True).clamp(min=1e-3)


def distance(flat: Tensor, squares: Tensor, mean: Tensor) -> Tensor:
    """(N, C, P) features, (N, P) their squared lengths, (N, C) -> (N, P) squared distances."""
    return (squares - 2 * products(mean, flat) + mean.square().sum(1, keepdim=True)).clamp(min=0)


def products(kernel: Tensor, flat: Tensor) -> Tensor:
    """(N, C), (N, C, P) -> (N, P)."""
    return (kernel[:, None] @ flat)[:, 0]
