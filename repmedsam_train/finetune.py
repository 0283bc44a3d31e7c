"""Train encoder and heads together on masks (paper section 2.2, stage 2); from scratch where nothing is given."""

import csv
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from repmedsam_infer.errors import UsageError
from repmedsam_infer.network import RepMedSAM
from repmedsam_train.data import Augmentation, Batch, TrainingSet
from repmedsam_train.ema import EMA
from repmedsam_train.objective import batch_loss
from repmedsam_train.recipe import Recipe
from repmedsam_train.state import load_state

NO_AUGMENTATION = Augmentation(
    tight_box=1, loose_box=0, volume_box=0, crop=0, rotation=0, transpose=0,
    intensity=0, inversion=0, grey=0, blur=0, noise=0, flip=0,
)  # fmt: skip


def finetune(train: Path, out: Path, recipe: Recipe, val: Path | None = None, initial: Path | None = None) -> Path:
    """Train on the npz files of `train`; returns the averaged weights, `out`/model.safetensors.

    Continues from `out`/latest.pt where there is one: a run that was killed is taken up at its last checkpoint, with
    the same batches that it would have seen. `out`/log.csv grows by a row every 10 steps.
    """
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)  # the processor is torch's
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = RepMedSAM(recipe.grid, recipe.box_prior, recipe.high_res)
    if initial is not None:
        load_initial(model, initial)
    model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    ema = EMA(model, recipe.ema_decay)
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe.weight_decay), lr=recipe.learning_rate)
    first = load_checkpoint(out / "latest.pt", model, ema, optimizer)

    dataset = TrainingSet(train, recipe.seed, recipe.augmentation)
    held_out = TrainingSet(val, seed=1, augmentation=NO_AUGMENTATION) if val is not None else None
    log = Log(out / "log.csv", continued=first > 0)

    def load(step: int) -> Batch:
        phase = recipe.phase(step)
        return dataset.batch(step, phase.batch, phase.size, recipe.boxes_per_image, phase.drawn)

    with ThreadPoolExecutor(1) as loader:
        upcoming = loader.submit(load, first) if first < recipe.steps else None
        for step in range(first, recipe.steps):
            assert upcoming is not None
            batch = upcoming.result()
            upcoming = loader.submit(load, step + 1) if step + 1 < recipe.steps else None
            phase = recipe.phase(step)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, recipe)
            loss, dice = batch_loss(model, batch, recipe, device)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
            optimizer.step()
            ema.update(model, step)

            done = step + 1
            log.add(done, phase.size, loss.item(), dice.item())
            if done % recipe.checkpoint_every == 0 or done == recipe.steps:
                save_checkpoint(out / "latest.pt", done, model, ema, optimizer)
            if held_out is not None and (done % recipe.validate_every == 0 or done == recipe.steps):
                log.validated(done, validate(ema.model, held_out, recipe, phase.size, device))

    path = out / "model.safetensors"
    save_file({k: v.contiguous() for k, v in ema.model.state_dict().items()}, path, model.settings)
    return path


def load_initial(model: RepMedSAM, path: Path) -> None:
    """Start from the weights of a safetensors file; it may lack the high-resolution features, nothing else.

    Raises:
        UsageError: it is not a file of such weights.

    """
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path} cannot be read as safetensors: {error}") from error
    load_state(model, state, path, "RepMedSAM", optional="high_res.")


@torch.no_grad()
def validate(model: RepMedSAM, dataset: TrainingSet, recipe: Recipe, size: int, device: torch.device) -> float:
    """Mean hard Dice of the objects in a fixed draw of unaugmented slices, rare modalities drawn more often."""
    dices: list[float] = []
    batch_size = 16
    for step in range(math.ceil(recipe.validation_samples / batch_size)):
        batch = dataset.batch(step, batch_size, size, boxes_per_image=4)
        dices.append(batch_loss(model, batch, recipe, device)[1].item())
    return sum(dices) / len(dices)


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine to a hundredth of the peak."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay on matrices and kernels only."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def save_checkpoint(
    path: Path, step: int, model: nn.Module, ema: EMA[RepMedSAM], optimizer: torch.optim.Optimizer
) -> None:
    """Written beside, then renamed: a kill leaves the last checkpoint whole."""
    temporary = path.with_suffix(".tmp")
    state = {
        "step": step,
        "model": model.state_dict(),
        "ema": ema.model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(state, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, model: nn.Module, ema: EMA[RepMedSAM], optimizer: torch.optim.Optimizer) -> int:
    """The step to go on with: 0 where there is no checkpoint."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    ema.model.load_state_dict(state["ema"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


class Log:
    """CSV rows of means over 10 steps, and the same lines on standard output."""

    EVERY = 10

    def __init__(self, path: Path, continued: bool) -> None:
        self.path = path
        self.losses: list[float] = []
        self.dices: list[float] = []
        self.start = time.monotonic()
        if not continued:
            path.write_text("step,size,loss,dice,seconds,val_dice\n")

    def row(self, *values: object) -> None:
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(values)
        print(*values, flush=True)

    def add(self, step: int, size: int, loss: float, dice: float) -> None:
        self.losses.append(loss)
        self.dices.append(dice)
        if step % self.EVERY == 0:
            mean_loss, mean_dice = sum(self.losses) / len(self.losses), sum(self.dices) / len(self.dices)
            seconds = time.monotonic() - self.start
            self.row(step, size, f"{mean_loss:.4f}", f"{mean_dice:.4f}", f"{seconds:.0f}", "")
            self.losses, self.dices = [], []

    def validated(self, step: int, dice: float) -> None:
        self.row(step, "", "", "", f"{time.monotonic() - self.start:.0f}", f"{dice:.4f}")
