"""Random numbers on a device, and changes that come to some rows of a batch."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


class Chance:
    """A generator on `device`: the same seeds give the same numbers on the same kind of device."""

    def __init__(self, device: torch.device, *seeds: int) -> None:
        self.device = device
        self.generator = torch.Generator(device)
        self.generator.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """float32 in [low, high)."""
        return torch.rand(shape, generator=self.generator, device=self.device) * (high - low) + low

    def fine(self, *shape: int) -> Tensor:
        """float64 in [0, 1), for choices among many."""
        return torch.rand(shape, generator=self.generator, device=self.device, dtype=torch.float64)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device)

    def happens(self, *shape: int, probability: float) -> Tensor:
        """bool, True with `probability`."""
        return self.uniform(*shape) < probability

    def below(self, bound: Tensor) -> Tensor:
        """int64 from 0 to `bound` (int64, at least 1) less 1, of its shape."""
        return torch.minimum((self.fine(*bound.shape) * bound).long(), bound - 1)


def on_host(x: Tensor) -> bool:
    """Whether asking for values of x costs nothing; on a GPU it would wait for all that was begun."""
    return x.device.type == "cpu"


def changed(x: Tensor, chosen: Tensor, change: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """Return x (B, ...) with `change(x, *parameters)` in the chosen rows (B,); parameters are (B, ...), too.

    On a CPU only those rows are worked out, and x itself is changed. On a GPU all are, as asking which would wait.
    """
    if not on_host(x):
        return torch.where(chosen.view(-1, *[1] * (x.ndim - 1)), change(x, *parameters), x)
    rows = chosen.nonzero()[:, 0]
    if len(rows):
        x.index_copy_(0, rows, change(x[rows], *(p[rows] for p in parameters)))
    return x


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...] | tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    """Return numbers as a tensor on the device: taken there once, as a GPU would be waited for each time."""
    return torch.tensor(values, device=device)


@lru_cache(maxsize=8)
def smooth_weights(knots: int, count: int, device: torch.device) -> Tensor:
    """(count, knots): cubic interpolation between `knots` values, the first and the last at the ends."""
    values = torch.eye(knots, device=device)[None, None]
    return functional.interpolate(values, (count, knots), mode="bicubic", align_corners=True)[0, 0]


def smooth(knots: Tensor, side: int) -> Tensor:
    """(..., K, K) values at knots -> (..., side, side)."""
    weights = smooth_weights(knots.shape[-1], side, knots.device)
    return weights @ knots @ weights.T
