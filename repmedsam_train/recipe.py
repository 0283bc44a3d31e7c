"""Everything that can be adjusted about a training run, in one typed place."""

from dataclasses import dataclass, field, replace

from repmedsam_infer.network.repmedsam import Grid
from repmedsam_train.data import Augmentation
from repmedsam_train.losses import LossWeights


@dataclass(frozen=True)
class Phase:
    """`steps` optimiser steps on images of `size` pixels, `batch` images a step, the fraction `drawn` of them drawn."""

    size: int
    steps: int
    batch: int
    drawn: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """The first weights' recipe: from scratch, growing resolution, everything trained at once."""

    phases: tuple[Phase, ...] = (
        Phase(128, 450, 8, drawn=0.6),
        Phase(128, 650, 8, drawn=0.1),
        Phase(192, 450, 8),
        Phase(256, 330, 8),
    )
    grid: Grid = 16
    box_prior: bool = True
    high_res: bool = True
    boxes_per_image: int = 8
    learning_rate: float = 5e-4
    warmup_steps: int = 100
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
        """The phase of step `step` (from 0)."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError("step is beyond the last phase")


def shortened(recipe: Recipe, factor: float) -> Recipe:
    """The same recipe with `factor` times the steps in every phase (at least one)."""
    phases = tuple(replace(p, steps=max(1, round(p.steps * factor))) for p in recipe.phases)
    return replace(recipe, phases=phases, warmup_steps=max(1, round(recipe.warmup_steps * factor)))
