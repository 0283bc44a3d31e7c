"""One step: a batch that was loaded ahead, its loss, its gradients, the weights after it."""

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from repmedsam_infer.errors import UsageError
from repmedsam_train.data.batch import Batch
from repmedsam_train.recipe import Phase, Recipe
from repmedsam_train.run.processes import Processes

M = TypeVar("M", bound=nn.Module)


class Ahead:
    """Loads the next batch in a thread, while the one before is trained on."""

    def __init__(self, load: Callable[[int, Phase], Batch]) -> None:
        self.load = load
        self.thread = ThreadPoolExecutor(1)
        self.next: tuple[Phase, Future[Batch]] | None = None

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.shutdown(cancel_futures=True)

    def ask(self, step: int, phase: Phase) -> None:
        self.next = phase, self.thread.submit(self.load, step, phase)

    def wait(self) -> None:
        """Return when the batch that was asked for is there; it stays to be taken."""
        assert self.next is not None
        self.next[1].result()

    def take(self) -> tuple[Batch, Phase]:
        """Return what was asked for last, when it is there, and the phase that it is of."""
        assert self.next is not None
        phase, batch = self.next
        return batch.result(), phase


class Objective(nn.Module, Generic[M]):
    """A model and its loss as one module: gradients are averaged over processes for what goes through a `forward`."""

    def __init__(self, model: M, loss: Callable[[M, Batch], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.loss(self.model, batch)


def optimizer_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameter_groups(model, recipe), lr=recipe.learning_rate, fused=True)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Weight decay on matrices and kernels only; with `recipe.decay_all` on every parameter."""
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1 or recipe.decay_all]
    plain = [p for p in trained if p.ndim <= 1 and not recipe.decay_all]
    return [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]


def update(objective: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, rate: float, clip: float) -> Tensor:
    """Take one step; returns loss, metric and norm of the gradients (3,), still on the device."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss, metric = objective(batch)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(objective.parameters(), clip)
    optimizer.step()
    return torch.stack([loss.detach().float(), metric.detach().float(), norm.detach().float()])


class Sums:
    """Sums of what steps return, on the device; reading them waits for it, so they are read every few steps."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.sums = torch.zeros(3, device=processes.device)
        self.steps = 0

    def add(self, figures: Tensor) -> None:
        self.sums += figures
        self.steps += 1

    def clear(self) -> None:
        self.sums.zero_()
        self.steps = 0

    def means(self, step: int, rate: float) -> tuple[float, float]:
        """Mean loss and metric over steps and processes, `step` and `rate` being the last's.

        Raises:
            UsageError: a loss or a gradient was not finite.

        """
        loss, metric, norm = self.processes.mean(self.sums / self.steps).tolist()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise UsageError(
                f"the loss is no longer finite ({loss:g}, its gradients {norm:g}) at step {step} or within the "
                f"{self.steps - 1} before it, at a learning rate of {rate:.2g}: set a lower learning_rate, or train "
                "with --no-bf16. Weights and the checkpoint are as they were last written"
            )
        return loss, metric
