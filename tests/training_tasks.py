"""A tiny task for the loop: a network of a few weights, batches of random images, and a clock that tests move."""

from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from repmedsam_train.data.dataset import Batch
from repmedsam_train.loop import Task
from repmedsam_train.recipe import Phase, Recipe
from repmedsam_train.run.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))
TINY = Recipe(phases=(Phase(8, 12, 4), Phase(16, 8, 4)), warmup_steps=3, validate_every=10, checkpoint_every=5)


class Brightness(nn.Module):
    """Predicts an image's mean brightness; with a weight that nothing uses, and one that is frozen, as real ones have.

    It has no normalisation: its loss on a batch is the mean of its losses on the batch's parts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 1)
        self.unused = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)

    def encode(self, images: Tensor) -> Tensor:
        """Not `forward`, as the networks here are used through methods of their own."""
        return self.head(self.convolution(images).relu().mean((2, 3)) * self.frozen)[:, 0]


def images_of(batch: Batch) -> Tensor:
    return torch.as_tensor(batch.images)


def random_batch(number: int, phase: Phase) -> Batch:
    """Images alone: the tiny task looks at nothing else."""
    images = np.random.default_rng(number).random((phase.batch, 3, phase.size, phase.size), np.float32)
    return Batch(
        images * np.linspace(0.1, 1, phase.batch, dtype=np.float32)[:, None, None, None], *cast("list", [None] * 2)
    )


def squared_error(network: Brightness, batch: Batch) -> tuple[Tensor, Tensor]:
    images = images_of(batch)
    error = (network.encode(images) - images.mean((1, 2, 3))).square().mean()
    return error, error.detach().sqrt()


@dataclass
class Clock:
    """Seconds that pass only where a test says so."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Watched:
    """The tiny task, what it was asked for, and how long each part takes by its clock."""

    step_seconds: float = 0.0
    validation_seconds: float = 0.0
    first_step_seconds: float = 0.0
    clock: Clock = field(default_factory=Clock)
    asked: list[tuple[int, Phase]] = field(default_factory=list)
    validated: list[float] = field(default_factory=list)
    losses: int = 0
    poison: int | None = None  # the step whose loss is not finite

    def load(self, step: int, phase: Phase) -> Batch:
        self.asked.append((step, phase))
        return random_batch(step, phase)

    def loss(self, network: Brightness, batch: Batch) -> tuple[Tensor, Tensor]:
        self.clock.seconds += self.step_seconds if self.losses else max(self.first_step_seconds, self.step_seconds)
        loss, metric = squared_error(network, batch)
        if self.losses == self.poison:
            loss = loss * torch.inf
        self.losses += 1
        return loss, metric

    @torch.no_grad()
    def validate(self, network: Brightness) -> float:
        self.clock.seconds += self.validation_seconds
        self.validated.append(self.clock.seconds - 1000)
        return -float(squared_error(network, random_batch(10**6, Phase(16, 1, 8)))[0])

    def task(self, seed: int = 0) -> Task[Brightness]:
        torch.manual_seed(seed)
        return Task(Brightness(), self.load, self.loss, self.validate, {"kind": "tiny"})
