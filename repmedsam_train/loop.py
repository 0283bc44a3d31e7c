"""The loop that both stages share: batches loaded ahead, a schedule, an average, checkpoints, the best, a log."""

import csv
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import cv2
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from repmedsam_infer.io.atomic import write_atomic
from repmedsam_train.data.batch import Batch
from repmedsam_train.pictures import U8, draw_log
from repmedsam_train.recipe import Recipe

if TYPE_CHECKING:
    from rich.progress import Progress

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Task(Generic[M]):
    """What is trained, on what, and how it is judged.

    `loss` gives a batch's loss and a metric to log; `validate`, of the averaged network, a number to make as large as
    can be. `settings` become the metadata of the weights. `picture`, if there is one, shows what it does on the way.
    """

    model: M
    load: Callable[[int], Batch]
    loss: Callable[[M, Batch], tuple[Tensor, Tensor]]
    validate: Callable[[M], float]
    settings: dict[str, str]
    picture: Callable[[M], U8] | None = None


def train(task: Task[M], recipe: Recipe, out: Path) -> Path:
    """Run `recipe.steps` steps; returns `out`/model.safetensors, the averaged network as it was when it validated best.

    Continues from `out`/latest.pt where there is one: a run that was killed is taken up at its last checkpoint, with
    the same batches that it would have had. `out`/log.csv grows by a row every 10 steps; loss.png and masks.png are
    drawn at every validation; last.safetensors is the averaged network at the end, whose validation may be worse.
    """
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)  # the processor is torch's
    model = task.model.train()
    average = moving_average(model, recipe.ema_decay)
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe), lr=recipe.learning_rate, fused=True)
    latest, weights = out / "latest.pt", out / "model.safetensors"
    first, best = load_checkpoint(latest, model, average, optimizer)
    averaged = cast(M, average.module)

    with Log(out / "log.csv", first, recipe.steps) as log, ThreadPoolExecutor(1) as loader:
        upcoming = loader.submit(task.load, first) if first < recipe.steps else None
        for step in range(first, recipe.steps):
            assert upcoming is not None
            batch = upcoming.result()
            upcoming = loader.submit(task.load, step + 1) if step + 1 < recipe.steps else None
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, recipe)
            loss, metric = task.loss(model, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
            optimizer.step()
            average.update_parameters(model)

            done = step + 1
            log.add(done, recipe.phase(step).size, loss.item(), metric.item())
            last = done == recipe.steps
            if done % recipe.validate_every == 0 or last:
                score = task.validate(averaged)
                log.validated(done, score)
                draw_log(log.path, out / "loss.png")
                if task.picture is not None:
                    picture = task.picture(averaged)
                    write_atomic(out / "masks.png", cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
                if score > best:
                    best = score
                    save_weights(weights, averaged, task.settings)
            if last:
                save_weights(out / "last.safetensors", averaged, task.settings)
            if done % recipe.checkpoint_every == 0 or last:
                save_checkpoint(latest, done, best, model, average, optimizer)
    return weights


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of weights and normalisation statistics (paper section 3.2), a frozen copy of `model`.

    Early on the average forgets faster, so that the start never dominates it.
    """

    def mean(average: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return current
        step = int(updates) - 1
        return average.lerp(current, 1 - min(decay, (1 + step) / (10 + step)))

    average = AveragedModel(model, avg_fn=mean, use_buffers=True)
    average.n_averaged.fill_(1)  # the start counts: at 0 the first update would replace it
    average.eval().requires_grad_(requires_grad=False)
    return average


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine from the peak to `recipe.final_rate` of it."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    falling = (1 + math.cos(math.pi * progress)) / 2
    return recipe.learning_rate * (recipe.final_rate + (1 - recipe.final_rate) * falling)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Weight decay on matrices and kernels only; with `recipe.decay_all` on every parameter."""
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1 or recipe.decay_all]
    plain = [p for p in trained if p.ndim <= 1 and not recipe.decay_all]
    return [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]


def save_weights(path: Path, model: nn.Module, settings: dict[str, str]) -> None:
    write_atomic(path, save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, settings))


def save_checkpoint(
    path: Path, step: int, best: float, model: nn.Module, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> None:
    """Written beside, then renamed: a kill leaves the last checkpoint whole."""
    temporary = path.with_suffix(".tmp")
    state = {
        "step": step,
        "best": best,
        "model": model.state_dict(),
        "ema": average.module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(state, temporary)
    temporary.replace(path)


def load_checkpoint(
    path: Path, model: nn.Module, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """Return the step to go on with and the best score so far; 0 and -inf where there is no checkpoint."""
    if not path.exists():
        return 0, -math.inf
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    average.module.load_state_dict(state["ema"])
    average.n_averaged.fill_(state["step"] + 1)
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["best"])


class Log:
    """CSV rows of means over 10 steps; for who watches, the same as a bar on a terminal, as lines elsewhere."""

    EVERY = 10

    def __init__(self, path: Path, first: int, steps: int) -> None:
        self.path = path
        self.steps = steps
        self.losses: list[float] = []
        self.metrics: list[float] = []
        self.start = time.monotonic()
        self.validation = ""
        self.bar = bar() if sys.stderr.isatty() else None
        self.task = self.bar.add_task("training", total=steps, completed=first) if self.bar is not None else None
        if not first:
            path.write_text("step,size,loss,metric,seconds,validation\n")

    def __enter__(self) -> "Log":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def row(self, *values: object) -> None:
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(values)

    def show(self, step: int, text: str) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=step, description=f"{text}{self.validation}")
        else:
            print(f"[{step}/{self.steps}] {text} after {time.monotonic() - self.start:.0f} s", flush=True)

    def add(self, step: int, size: int, loss: float, metric: float) -> None:
        self.losses.append(loss)
        self.metrics.append(metric)
        if step % self.EVERY == 0:
            loss, metric = sum(self.losses) / len(self.losses), sum(self.metrics) / len(self.metrics)
            self.row(step, size, f"{loss:.4f}", f"{metric:.4f}", f"{time.monotonic() - self.start:.0f}", "")
            self.show(step, f"{size} pixels, loss {loss:.4f}, metric {metric:.4f}")
            self.losses, self.metrics = [], []

    def validated(self, step: int, score: float) -> None:
        self.row(step, "", "", "", f"{time.monotonic() - self.start:.0f}", f"{score:.4f}")
        self.validation = f", validation {score:.4f}"
        self.show(step, f"validation {score:.4f}")


def bar() -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
