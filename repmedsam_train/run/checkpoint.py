"""latest.pt: all that a run needs to go on where it was."""

import io
import json
import math
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_train.recipe import Recipe

MAY_CHANGE = {"seconds", "bf16", "compiled", "checkpoint_every", "validate_every", "validation_samples"}


class Progress(NamedTuple):
    """Steps done, seconds that they and their validations took, best validation score."""

    step: int = 0
    seconds: float = 0.0
    best: float = -math.inf


def save_checkpoint(
    path: Path,
    progress: Progress,
    recipe: Recipe,
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Written beside, then renamed: a kill leaves the last checkpoint whole."""
    state = {
        **progress._asdict(),
        "recipe": json.dumps(asdict(recipe)),
        "model": model.state_dict(),
        "ema": average.module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    written = io.BytesIO()  # torch would make a full disk a RuntimeError
    torch.save(state, written)
    write_atomic(path, written.getbuffer())


def load_checkpoint(
    path: Path, recipe: Recipe, model: nn.Module, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> Progress:
    """Put a run back where it was, on whatever device it is now; at the start where there is no checkpoint.

    Raises:
        UsageError: the file is damaged, of another network than `model`, or of another recipe.

    """
    if not path.exists():
        return Progress()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        changed = differing(json.loads(state.get("recipe", "{}")), recipe)
        if changed:
            raise UsageError(f"{path} is of a run with another {', '.join(changed)}: name another --out")
        model.load_state_dict(state["model"])
        average.module.load_state_dict(state["ema"])
        average.n_averaged.fill_(state["step"] + 1)
        optimizer.load_state_dict(state["optimizer"])
        return Progress(int(state["step"]), float(state.get("seconds", 0.0)), float(state["best"]))
    except UsageError:
        raise
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        pickle.UnpicklingError,
    ) as error:
        raise UsageError(
            f"{path} is not a checkpoint of this network ({error}): name another --out, or remove it to start anew"
        ) from error


def differing(before: dict[str, Any], recipe: Recipe) -> list[str]:
    """Return the fields of `recipe` that matter to what is trained and were others; none of a checkpoint without."""
    now = json.loads(json.dumps(asdict(recipe)))
    return sorted(name for name in before if name not in MAY_CHANGE and before[name] != now.get(name))
