"""Everything that can be adjusted about a training run, in one typed place."""

from dataclasses import dataclass, field, replace

from repmedsam_infer.network.repmedsam import Grid
from repmedsam_train.data import Augmentation
from repmedsam_train.losses import LossWeights


@dataclass(frozen=True)
class Phase:
    """`steps` optimiser steps on images of `size` pixels, `batch` images a step."""

    size: int
    steps: int
    batch: int
    heads_only: bool = False  # train prompt encoder and mask decoder on embeddings of a frozen encoder (heads.py)


@dataclass(frozen=True)
class Recipe:
    """The first weights' recipe: from scratch, growing resolution, everything trained at once."""

    phases: tuple[Phase, ...] = (
        Phase(128, 700, 8),
        Phase(128, 1500, 8, heads_only=True),
        Phase(128, 600, 8),
        Phase(256, 260, 8),
    )
    grid: Grid = 16
    boxes_per_image: int = 8
    learning_rate: float = 5e-4
    heads_learning_rate: float = 8e-4  # in phases that train the heads only
    cached_batches: int = 150  # whose embeddings such a phase goes round
    ellipses_per_image: int = 2  # drawn prompts added to the real ones there
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

    @property
    def joint_steps(self) -> int:
        """Steps that train everything; the cosine of the learning rate runs over these."""
        return sum(phase.steps for phase in self.phases if not phase.heads_only)

    def place(self, step: int) -> "Place":
        """Where step `step` (from 0) falls."""
        joint = 0
        for phase in self.phases:
            if step < phase.steps:
                return Place(phase, step, joint + (0 if phase.heads_only else step))
            step -= phase.steps
            joint += 0 if phase.heads_only else phase.steps
        raise IndexError("step is beyond the last phase")


@dataclass(frozen=True)
class Place:
    """A step's phase, its number within it, and how many joint steps came before it."""

    phase: Phase
    step: int
    joint_step: int


def shortened(recipe: Recipe, factor: float) -> Recipe:
    """The same recipe with `factor` times the steps in every phase (at least one)."""
    phases = tuple(replace(p, steps=max(1, round(p.steps * factor))) for p in recipe.phases)
    return replace(
        recipe,
        phases=phases,
        warmup_steps=max(1, round(recipe.warmup_steps * factor)),
        cached_batches=max(1, round(recipe.cached_batches * factor)),
    )
