"""A tiny task for the loop: a network of a few weights, batches of random images, and a clock that tests move."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from repmedsam_train.data.batch import Batch
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


def random_batch(number: int, phase: Phase) -> Batch:
    """Images, the later the brighter, with one place for an object on each; the tiny task uses the images alone."""
    generator = torch.Generator().manual_seed(number)
    images = torch.rand(phase.batch, 3, phase.size, phase.size, generator=generator)
    boxes, masks = torch.zeros(phase.batch, 4), torch.zeros(phase.batch, phase.size, phase.size)
    return Batch(
        images * torch.linspace(0.1, 1, phase.batch)[:, None, None, None],
        boxes,
        boxes,
        masks,
        masks,
        torch.arange(phase.batch),
        torch.ones(phase.batch, dtype=torch.bool),
    )


def squared_error(network: Brightness, batch: Batch) -> tuple[Tensor, Tensor]:
    error = (network.encode(batch.images) - batch.images.mean((1, 2, 3))).square().mean()
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
