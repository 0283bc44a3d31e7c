"""Commands that train. Heavy imports happen inside the commands."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repmedsam_infer.errors import UsageError

if TYPE_CHECKING:
    from repmedsam_train.recipe import Recipe

Train = Annotated[Path, typer.Option(help="Folder of npz cases (imgs, gts), or of their shards, to train on.")]
Out = Annotated[Path, typer.Option(help="Folder for checkpoints, log and weights; an earlier run in it is continued.")]
Val = Annotated[
    Path | None, typer.Option(help="Held-out npz cases that choose the best weights; else a fifth of --train.")
]
Config = Annotated[Path | None, typer.Option(help="TOML file of what to change about the recipe.")]
Shorten = Annotated[float, typer.Option(help="Multiply the number of steps by this.")]
Seconds = Annotated[
    float | None, typer.Option(help="Train for this long, whatever number of steps that is, instead of the recipe's.")
]
Device = Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu or cuda.")]
Bf16 = Annotated[
    bool | None, typer.Option("--bf16/--no-bf16", help="Autocast of the encoder; by default on GPUs that have bf16.")
]
Compile = Annotated[
    bool, typer.Option("--compile", help="On a GPU, compile blocks: a minute at every size of images, then faster.")
]


def add_training(app: typer.Typer) -> None:
    for command in (distill, finetune):
        app.command()(command)


def distill(
    train: Train,
    out: Out,
    teacher: Annotated[Path, typer.Option(help="Checkpoint of LiteMedSAM, published or your own.")],
    val: Val = None,
    recipe: Annotated[str, typer.Option(help="paper-distill, or scratch.")] = "paper-distill",
    config: Config = None,
    shorten: Shorten = 1.0,
    seconds: Seconds = None,
    device: Device = "auto",
    *,
    bf16: Bf16 = None,
    compiled: Compile = False,
) -> None:
    """Stage 1: teach the image encoder the embeddings of LiteMedSAM's.

    Example: repmedsam-train distill --train data/train --teacher lite_medsam.pth --out runs/distilled
    """
    from repmedsam_train.distill import distill as run

    settings = chosen(recipe, train, val, config, shorten, seconds, bf16=bf16, compiled=compiled)
    finish(run(train, out, settings, teacher, val, device))


def finetune(
    train: Train,
    out: Out,
    val: Val = None,
    initial: Annotated[Path | None, typer.Option(help="Weights (safetensors) to start from.")] = None,
    recipe: Annotated[str, typer.Option(help="scratch, paper-finetune, or own-data.")] = "scratch",
    config: Config = None,
    shorten: Shorten = 1.0,
    seconds: Seconds = None,
    device: Device = "auto",
    *,
    bf16: Bf16 = None,
    compiled: Compile = False,
) -> None:
    """Stage 2: train the whole network on masks; from scratch, if no weights are given.

    Example: repmedsam-train finetune --train data/train --val data/val --out runs/first

    On all four GPUs of a machine, batches being per GPU: torchrun --nproc-per-node 4 -m repmedsam_train finetune ...
    """
    from repmedsam_train.finetune import finetune as run

    settings = chosen(recipe, train, val, config, shorten, seconds, bf16=bf16, compiled=compiled)
    finish(run(train, out, settings, val, initial, device))


def chosen(
    name: str,
    train: Path,
    val: Path | None,
    config: Path | None,
    shorten: float,
    seconds: float | None,
    *,
    bf16: bool | None,
    compiled: bool,
) -> "Recipe":
    """Return the recipe of that name, changed by the TOML file first, then by the options.

    Raises:
        UsageError: there is no such recipe, or a value makes no sense.

    """
    from dataclasses import replace

    from repmedsam_train.data.frequency import visits_of
    from repmedsam_train.data.split import parts_of
    from repmedsam_train.recipe import SEED, changed, named_recipe, shortened

    trained_on, held_out = parts_of(train, val, SEED)
    recipe = named_recipe(name, visits_of(trained_on), visits_of(held_out))
    if config is not None:
        recipe = changed(recipe, config)
    if not 0 < shorten < math.inf:
        raise UsageError(f"--shorten is {shorten:g}; it has to be more than 0")
    if shorten != 1:
        if seconds is not None or recipe.seconds is not None:
            raise UsageError("--shorten is for a number of steps, --seconds for a time: leave out one of them")
        recipe = shortened(recipe, shorten)
    return replace(
        recipe,
        seconds=recipe.seconds if seconds is None else seconds,
        bf16=recipe.bf16 if bf16 is None else bf16,
        compiled=recipe.compiled or compiled,
    )


def finish(weights: Path) -> None:
    """Print where the weights are, once for all processes."""
    from repmedsam_train.run.processes import leave

    if leave():
        typer.echo(weights)
