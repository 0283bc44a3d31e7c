"""Deterministic weights and images: the same names and shapes always get the same numbers."""

import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def seeded_array(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith(("bias", "running_mean", "attention_biases")):
        values = 0.05 * rng.standard_normal(shape)
    elif len(shape) <= 1:
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith("positional_encoding_gaussian_matrix"):
        values = rng.standard_normal(shape)
    else:
        values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return np.asarray(values, np.float32)


def fill(module: nn.Module, seed: int) -> None:
    """Overwrite every floating-point entry of the state dict, and switch to eval mode."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(seeded_array(name, tuple(tensor.shape), seed)))
    module.eval()


def seeded_image(seed: int, size: int = 256) -> torch.Tensor:
    """(1, 3, size, size) float32 in [0, 1]."""
    return torch.from_numpy(np.random.default_rng([seed, 7]).random((1, 3, size, size), dtype=np.float32))
