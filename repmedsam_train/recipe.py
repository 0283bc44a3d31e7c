"""Everything that can be adjusted about a training run, in one typed place; read from TOML, kept in checkpoints."""

import math
import tomllib
from dataclasses import asdict, dataclass, field, replace
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Literal, get_args

import torch

from repmedsam_infer.errors import UsageError
from repmedsam_infer.network.repmedsam import Grid
from repmedsam_train.data.augmentation import NO_AUGMENTATION, Augmentation
from repmedsam_train.losses import LossWeights

SEED = 0


@dataclass(frozen=True)
class Phase:
    """`steps` optimiser steps on images of `size` pixels, `batch` images a step, the fraction `drawn` of them drawn."""

    size: int
    steps: int
    batch: int
    drawn: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A run of either stage. The defaults train from scratch, at growing resolution."""

    phases: tuple[Phase, ...] = (
        Phase(128, 300, 8, drawn=0.5),
        Phase(128, 2500, 8, drawn=0.1),
        Phase(192, 2500, 8, drawn=0.02),
        Phase(256, 1200, 8),
    )
    network: Literal["repmedsam", "litemedsam"] = "repmedsam"  # grid and focus are RepMedSAM's
    grid: Grid = 16
    focus: bool = True
    boxes_per_image: int = 8
    balance: float = 0.5  # modalities are drawn by their size to this power: 0 alike, 1 by their share
    emphasis: dict[str, float] = field(default_factory=dict)  # how many times more often a modality is drawn than that
    epochs: bool = False  # every case once in an epoch, in random order, a volume VISITS times; else drawn by balance
    learning_rate: float = 1e-3
    final_rate: float = 0.01  # of the learning rate, at the end
    warmup_steps: int = 100
    weight_decay: float = 0.05
    decay_all: bool = False  # also biases and normalisations
    gradient_clip: float = 1.0  # norm of all gradients; inf for none
    ema_decay: float = 0.998
    loss: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = SEED  # also of the split, where no held-out cases are named
    fused: bool = False  # train the inference form, without normalisations: a fifth faster, for good starting weights
    heads_only: bool = False  # leave the encoder as it is; with `fused`, so that its statistics do not move either
    seconds: float | None = None  # the time that the phases share (run/schedule.py), in place of their steps
    bf16: bool | None = None  # autocast of the encoder; faster only where the processor has it; None: on GPUs that do
    compiled: bool = False  # blocks that come often (run/gpu.py); on GPUs only
    checkpoint_every: int = 100
    validate_every: int = 300
    validation_samples: int = 128

    def __post_init__(self) -> None:
        """Raise UsageError for what no run can be of."""
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise UsageError(f"seconds is {self.seconds:g}; it has to be more than 0")
        if not self.phases:
            raise UsageError("phases is empty; a recipe has at least one")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; it has to be 0 or more")
        for name, least in (("boxes_per_image", self.boxes_per_image), ("validation_samples", self.validation_samples)):
            if least < 1:
                raise UsageError(f"{name} is {least}; it has to be 1 or more")

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    @property
    def drawn(self) -> bool:
        """Whether any phase has drawn cases."""
        return any(phase.drawn for phase in self.phases)

    def phase(self, step: int) -> Phase:
        """Return the phase of step `step` (from 0)."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError("step is beyond the last phase")

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return what the encoder runs in."""
        on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.autocast(device.type, torch.bfloat16, enabled=on_gpu if self.bf16 is None else self.bf16)


RecipeName = Literal["scratch", "paper-distill", "paper-finetune", "own-data"]

# On from trained weights, on a few cases of one's own: the heads alone (docs/finetuning.md).
OWN_DATA = Recipe(
    phases=(Phase(256, 300, 8),),
    learning_rate=6e-4,
    warmup_steps=20,
    ema_decay=0.98,
    fused=True,
    heads_only=True,
    checkpoint_every=50,
    validate_every=50,
    validation_samples=32,
)


def named_recipe(name: str, visits: int, held_out: int) -> Recipe:
    """One of `RecipeName`; epochs become steps by how many visits to cases there are in one (frequency.py), and one
    validation is as many visits as there are to those held out.

    `paper-distill` and `paper-finetune` are the paper's settings (section 3.2, tables 2 and 3): the published network
    at 256 pixels, AdamW, batches of 4, 10 epochs at 1e-4 and 30 at 2e-5, a cosine to 0, boxes moved by up to 5 pixels,
    flips, an average of weights, Dice, BCE and MSE alike. docs/paper.md says what the paper leaves open.

    Raises:
        UsageError: there is no such recipe.

    """
    if name in ("scratch", "own-data"):
        return Recipe() if name == "scratch" else OWN_DATA
    if name not in get_args(RecipeName):
        raise UsageError(f"there is no recipe '{name}'; choose one of: {', '.join(get_args(RecipeName))}")
    epochs, rate = (10, 1e-4) if name == "paper-distill" else (30, 2e-5)
    batch = 4
    epoch = max(1, round(visits / batch))
    flips_only = replace(NO_AUGMENTATION, flip=0.5, tight_box=0, volume_box=0, box_jitter_relative=1.0)
    return Recipe(
        phases=(Phase(256, epochs * epoch, batch),),
        grid=64,
        focus=False,
        boxes_per_image=1,
        epochs=True,
        learning_rate=rate,
        final_rate=0,
        warmup_steps=0,
        weight_decay=0.01,
        decay_all=True,
        gradient_clip=math.inf,
        ema_decay=0.999,
        loss=LossWeights(iou=1, plain=True),
        augmentation=flips_only,
        checkpoint_every=max(1, epoch // 4),
        validate_every=epoch,
        validation_samples=max(1, held_out),
    )


def shortened(recipe: Recipe, factor: float) -> Recipe:
    """Return the same recipe with `factor` times the steps in every phase (at least one)."""
    phases = tuple(replace(p, steps=max(1, round(p.steps * factor))) for p in recipe.phases)
    return replace(recipe, phases=phases, warmup_steps=round(recipe.warmup_steps * factor))


def changed(recipe: Recipe, path: Path) -> Recipe:
    """Change a recipe as a TOML file says; its keys are the fields of `Recipe`, its tables the nested ones.

    Raises:
        UsageError: the file cannot be read, or names a field that does not exist or a value that does not fit.

    """
    from pydantic import TypeAdapter, ValidationError

    try:
        given = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}") from error
    known = asdict(recipe)
    if not all(isinstance(given.get(key, {}), dict) for key in ("loss", "augmentation", "emphasis")):
        raise UsageError(f"{path}: loss, augmentation and emphasis are tables, e.g. [loss] and below it dice = 2.0")
    phases = given.get("phases", [])
    odd = {name for phase in phases if isinstance(phase, dict) for name in phase} if isinstance(phases, list) else set()
    odd -= {one.name for one in fields_of(Phase)}
    if odd:
        raise UsageError(f"{path}: a phase has no field {', '.join(sorted(odd))}")
    unknown = sorted(
        name
        for table, fields in ((given, known), *((given.get(key, {}), known[key]) for key in ("loss", "augmentation")))
        for name in table
        if name not in fields
    )
    if unknown:
        raise UsageError(f"{path}: a recipe has no field {', '.join(unknown)}")
    merged = {
        name: {**value, **given.get(name, {})} if isinstance(value, dict) else given.get(name, value)
        for name, value in known.items()
    }
    try:
        return TypeAdapter(Recipe).validate_python(merged)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{name}: " for name in first["loc"])
        raise UsageError(f"{path}: {where}{first['msg']}") from error
