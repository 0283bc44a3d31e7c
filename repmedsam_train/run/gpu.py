"""What only GPUs are asked for: TF32, compiled blocks, how busy they are."""

from collections import defaultdict
from contextlib import suppress
from importlib.util import find_spec

import torch
from torch import nn

from repmedsam_infer.errors import UsageError
from repmedsam_infer.network.repvit import RepViTBlock

OFTEN = 3  # blocks of one kind: each kind is compiled for itself, for some seconds, at every size of images
KINDS = 128  # that may be compiled of one function; PyTorch gives up after 8


def set_up(model: nn.Module, device: torch.device, *, compiled: bool) -> None:
    """Make what is not autocast TF32 on GPUs, and with `compiled` compile the model's blocks.

    Raises:
        UsageError: blocks are to be compiled, and the device is no GPU, or the model has none that are compiled.

    """
    if device.type == "cuda":
        allow_tf32(allowed=True)
    if compiled:
        if device.type != "cuda":
            raise UsageError("--compile is for GPUs: leave it out, or train with --device cuda")
        if not compile_blocks(model):
            raise UsageError(f"{type(model).__name__} has no blocks that --compile compiles: leave it out")


def allow_tf32(*, allowed: bool) -> None:
    """Have GPUs of this process take fp32 for TF32, which is faster and has 10 bits of fraction, or not."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def compile_blocks(model: nn.Module, backend: str = "inductor") -> int:
    """Compile RepViT's blocks where there are many of a kind, which share what is compiled; returns how many.

    Nothing happens before the first step, which then takes most of a minute. State dicts stay as they are.
    """
    import torch._dynamo.config as limits

    limits.cache_size_limit = max(KINDS, limits.cache_size_limit)
    kinds: defaultdict[object, list[nn.Module]] = defaultdict(list)
    for block in model.modules():
        if isinstance(block, RepViTBlock):
            kinds[tuple((name, parameter.shape) for name, parameter in block.named_parameters())].append(block)
    often = [block for blocks in kinds.values() if len(blocks) >= OFTEN for block in blocks]
    for block in often:
        block.compile(backend=backend, dynamic=False)
    return len(often)


def busy(device: torch.device) -> int | None:
    """Return in how many percent of the last moment a GPU was computing, where nvidia-ml-py is there to ask."""
    if device.type != "cuda" or find_spec("pynvml") is None:
        return None
    with suppress(Exception):  # its errors are of its own kinds; parts of a GPU have no figure, and none is needed
        return torch.cuda.utilization(device)
    return None
