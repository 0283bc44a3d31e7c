"""Re-parameterization (paper section 2.3): fold every branch and normalisation that can be folded."""

import copy
from typing import Protocol, TypeVar, runtime_checkable

from torch import nn

M = TypeVar("M", bound=nn.Module)


@runtime_checkable
class Fusible(Protocol):
    """A layer with a cheaper equal."""

    def fuse(self) -> nn.Module: ...


def reparameterize(model: M) -> M:
    """Copy `model`, in eval mode, with every layer that has a `fuse()` replaced by its result: the same function."""
    fused = copy.deepcopy(model).eval()
    fuse_children(fused)
    return fused


def fuse_children(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, Fusible):
            setattr(module, name, child.fuse())
        else:
            fuse_children(child)
