"""Random numbers on a device, and changes that come to some rows of a batch."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


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


def changed(x: Tensor, chosen: Tensor, change: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """Return x (B, ...) with `change(x, *parameters)` in the chosen rows (B,); parameters are (B, ...), too.

    On a CPU only those rows are worked out. On a GPU all are, as asking which would wait for it.
    """
    if x.device.type != "cpu":
        return torch.where(chosen.view(-1, *[1] * (x.ndim - 1)), change(x, *parameters), x)
    rows = chosen.nonzero()[:, 0]
    if not len(rows):
        return x
    return x.index_copy(0, rows, change(x[rows], *(p[rows] for p in parameters)))
