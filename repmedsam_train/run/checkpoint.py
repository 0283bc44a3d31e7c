"""latest.pt: all that a run needs to go on where it was."""

import math
import pickle
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from repmedsam_infer.errors import UsageError


class Progress(NamedTuple):
    """Steps done, seconds that they and their validations took, best validation score."""

    step: int = 0
    seconds: float = 0.0
    best: float = -math.inf


def save_checkpoint(
    path: Path, progress: Progress, model: nn.Module, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> None:
    """Written beside, then renamed: a kill leaves the last checkpoint whole."""
    temporary = path.with_suffix(".tmp")
    state = {
        **progress._asdict(),
        "model": model.state_dict(),
        "ema": average.module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(state, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, model: nn.Module, average: AveragedModel, optimizer: torch.optim.Optimizer) -> Progress:
    """Put a run back where it was, on whatever device it is now; at the start where there is no checkpoint.

    Raises:
        UsageError: the file is damaged, or of another network than `model`.

    """
    if not path.exists():
        return Progress()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        average.module.load_state_dict(state["ema"])
        average.n_averaged.fill_(state["step"] + 1)
        optimizer.load_state_dict(state["optimizer"])
        return Progress(int(state["step"]), float(state.get("seconds", 0.0)), float(state["best"]))
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UsageError(
            f"{path} is not a checkpoint of this network ({error}): name another --out, or remove it to start anew"
        ) from error
