"""Command line of training. Heavy imports happen inside the commands."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from repmedsam_infer.errors import RepMedSAMError

app = typer.Typer(
    name="repmedsam-train",
    help="Train RepMedSAM and turn the result into weights.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def finetune(
    train: Annotated[Path, typer.Option(help="Folder of npz cases with imgs and gts to train on.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and log; an earlier run in it is continued.")],
    val: Annotated[Path | None, typer.Option(help="Folder of npz cases to watch Dice on.")] = None,
    initial: Annotated[Path | None, typer.Option(help="Weights (safetensors) to start from.")] = None,
    shorten: Annotated[float, typer.Option(help="Multiply the number of steps by this.")] = 1.0,
    bf16: Annotated[bool, typer.Option("--bf16", help="Autocast; faster only where the processor has bf16.")] = False,
) -> None:
    """Train the whole network on masks, from scratch or from given weights.

    Example: repmedsam-train finetune --train data/train --val data/val --out runs/first
    """
    from dataclasses import replace

    from repmedsam_train.finetune import finetune as run
    from repmedsam_train.recipe import Recipe, shortened

    recipe = replace(Recipe(), bf16=bf16)
    typer.echo(run(train, out, recipe if shorten == 1 else shortened(recipe, shorten), val, initial))


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="model.safetensors of a run.")],
    folder: Annotated[Path, typer.Argument(help="Where the weights go, e.g. weights.")],
) -> None:
    """Re-parameterize trained weights and write them for every engine, with checksums."""
    from repmedsam_train.export import export as write
    from repmedsam_train.export import load_trained

    write(load_trained(model), folder)


@app.command()
def import_weights(
    checkpoint: Annotated[Path, typer.Argument(help="Published .pth or .safetensors file.")],
    out: Annotated[Path, typer.Argument(help="Safetensors file to write, for finetune --initial or export.")],
) -> None:
    """Take over a published checkpoint of RepViT-SAM, LiteMedSAM or Rep-MedSAM (its heads).

    Example: repmedsam-train import-weights repvit_sam.pt repvit_sam.safetensors
    """
    from repmedsam_train.published import import_checkpoint, write_imported

    kind, model = import_checkpoint(checkpoint)
    write_imported(kind, model, out)
    typer.echo(f"{checkpoint} is {kind}; written as {out}")


@app.callback()
def options() -> None:
    pass


def main() -> None:
    try:
        app()
    except (RepMedSAMError, FileNotFoundError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(getattr(error, "exit_code", 2))
