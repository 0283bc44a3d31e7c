"""Everything that can be adjusted about a training run, in one typed place."""

from dataclasses import dataclass, field

from repmedsam_infer.network.repmedsam import Grid
from repmedsam_train.data import Augmentation
from repmedsam_train.losses import LossWeights


@dataclass(frozen=True)
class Phase:
    """`steps` optimiser steps on images of `size` pixels, `batch` images a step."""

    size: int
    steps: int
    batch: int


@dataclass(frozen=True)
class Recipe:
    """The first weights' recipe: from scratch, growing resolution, everything trained at once."""

    phases: tuple[Phase, ...] = (Phase(128, 1450, 8), Phase(192, 250, 8), Phase(256, 280, 8))
    grid: Grid = 16
    boxes_per_image: int = 8
    learning_rate: float = 5e-4
    warmup_steps: int = 150
    weight_decay: float = 0.05
    gradient_clip: float = 1.0
    ema_decay: float = 0.995
    loss: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0
    bf16: bool = False  # autocast; faster only where the processor has it
    checkpoint_every: int = 100
    validate_every: int = 300
    validation_samples: int = 128

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase(self, step: int) -> Phase:
        """The phase that step `step` (from 0) belongs to."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError("step is beyond the last phase")
