"""Command line of training. Heavy imports happen inside the commands."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repmedsam_infer.errors import RepMedSAMError, SetupError, UsageError
from repmedsam_train.cases.cli import add_cases
from repmedsam_train.comparison.cli import add_commands
from repmedsam_train.data.packing.cli import pack
from repmedsam_train.run.cli import add_training

if TYPE_CHECKING:
    from repmedsam_infer.engines.calibration import Calibration
    from repmedsam_infer.network import RepMedSAM

app = typer.Typer(
    name="repmedsam-train",
    help="Train RepMedSAM and turn the result into weights.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Train = Annotated[Path, typer.Option(help="Folder of training cases (npz: imgs, gts).")]


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(help="model.safetensors of a run.")],
    out: Annotated[Path, typer.Argument(help="Safetensors file to write.")],
    train: Train,
    cases: Annotated[int, typer.Option(min=1, help="How many of each data set, at most.")] = 8,
) -> None:
    """Fit offsets of the logits, smoothing across slices and the smallest part to training cases with tight boxes.

    They are written into the metadata of the weight file, and go with it from there.

    Example: repmedsam-train calibrate runs/first/model.safetensors runs/first/calibrated.safetensors --train data/train
    """
    from repmedsam_infer.engines.torch import TorchEngine
    from repmedsam_infer.network import reparameterize
    from repmedsam_train.loop import save_weights
    from repmedsam_train.weights.calibrate import Tried
    from repmedsam_train.weights.calibrate import calibrate as run

    def show(tried: Tried) -> None:
        typer.echo(f"{tried.field} {tried.value:g}: DSC {tried.dsc:.4f}, NSD {tried.nsd:.4f}")

    network = rep_med_sam(model)
    fitted = run(TorchEngine(reparameterize(network)), train, show, cases)
    save_weights(out, network, network.settings | fitted.metadata())
    typer.echo(f"{out}: {', '.join(f'{name} {value}' for name, value in fitted.metadata().items())}")


@app.command()
def confidence(
    folder: Annotated[Path, typer.Argument(help="Weights that were exported; the file goes beside them.")],
    train: Train,
    cases: Annotated[int, typer.Option(min=1, help="How many pictures of each data set, at most.")] = 40,
    volumes: Annotated[int, typer.Option(min=1, help="How many volumes of each data set, at most.")] = 16,
) -> None:
    """Fit what estimates the DSC of masks, chooses among boxes, and finds where objects end, to training cases.

    Example: repmedsam-train confidence weights --train data/train
    """
    import numpy as np

    from repmedsam_infer.engines.load import load_engine
    from repmedsam_infer.engines.weights import find_weights
    from repmedsam_infer.system.threads import available_threads
    from repmedsam_train.weights.confidence import fit_confidence, write_confidence
    from repmedsam_train.weights.examples import choose_cases, picture_examples, volume_examples

    rng = np.random.default_rng(0)
    pictures, of_volumes = choose_cases(train, cases, volumes=False), choose_cases(train, volumes, volumes=True)
    typer.echo(f"{len(pictures)} pictures, {len(of_volumes)} volumes")
    engine = load_engine("openvino", find_weights(folder), available_threads(), volumes=False)
    of_pictures = [example for path in pictures for example in picture_examples(path, engine, rng)]
    engine = load_engine("openvino", find_weights(folder), available_threads(), volumes=True)
    model = fit_confidence(of_pictures, [volume_examples(path, engine, rng) for path in of_volumes], typer.echo)
    write_confidence(folder, model)


@app.command()
def average(
    models: Annotated[list[Path], typer.Argument(help="Two or more safetensors files; the shipped weights will do.")],
    out: Annotated[Path, typer.Option("--out", help="Safetensors file to write.")],
    keep: Annotated[
        list[str] | None, typer.Option(help="Layers that stay as in the first file, by how their names begin.")
    ] = None,
) -> None:
    """Average several networks' weights, in inference form.

    Example: repmedsam-train average weights/repmedsam.safetensors runs/more/model.safetensors --out mean.safetensors
    """
    from repmedsam_train.loop import save_weights
    from repmedsam_train.weights.networks import average as run

    network = run(models, keep or ())
    save_weights(out, network, network.settings)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="model.safetensors of a run.")],
    folder: Annotated[Path, typer.Argument(help="Where the weights go, e.g. weights.")],
    train: Annotated[
        Path | None,
        typer.Option(help="Folder of training cases: also quantise the encoder to int8, calibrated on them."),
    ] = None,
    *,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write encoder.onnx and decoder.onnx (docs/onnx.md), and nothing else.")
    ] = False,
    decoder: Annotated[
        bool, typer.Option("--decoder", help="Write decoder.xml alone, over the numbers of weights that are there.")
    ] = False,
    like: Annotated[
        Path | None, typer.Option(help="Weights that were trained on from: what was fitted to them goes along.")
    ] = None,
) -> None:
    """Re-parameterize trained weights and write them for OpenVINO and torch, or as ONNX, with checksums.

    With --onnx the model may be weights that are shipped: repmedsam-train export weights/repmedsam.safetensors onnx
    --onnx

    With --decoder it must be those: after a change of the decoder that needs no new numbers, repmedsam-train export
    weights/repmedsam.safetensors weights --decoder

    Example: repmedsam-train export runs/first/calibrated.safetensors weights --train data/train
    """
    if like is not None and (onnx or decoder):
        raise UsageError(
            f"--like is for a whole folder of weights: leave it out with --{'onnx' if onnx else 'decoder'}"
        )
    if onnx:
        from repmedsam_train.weights.onnx_folder import export_onnx

        if train is not None:
            raise UsageError("--train is for the int8 encoder of OpenVINO: leave it out with --onnx")
        export_onnx(rep_med_sam(model), model, folder, calibration_of(model))
        return
    from repmedsam_train.weights.export import export as write
    from repmedsam_train.weights.export import export_decoder
    from repmedsam_train.weights.quantize import calibration_images

    if decoder:
        if train is not None:
            raise UsageError("--train is for the int8 encoder of OpenVINO: leave it out with --decoder")
        try:
            export_decoder(rep_med_sam(model), folder)
        except (OSError, ValueError) as error:
            raise UsageError(f"the decoder's graph cannot be written into {folder}: {error}") from error
        return

    images = calibration_images(train) if train is not None else ()
    if like is not None:
        from repmedsam_train.weights.like import export_like

        taken = export_like(rep_med_sam(model), folder, like, images, calibration_of(model))
        typer.echo(f"{folder}: from {like} come {', '.join(taken) or 'nothing'}")
        return
    write(rep_med_sam(model), folder, images, calibration_of(model))


def calibration_of(path: Path) -> "Calibration":
    """Return what `calibrate` put into a safetensors file; neutral where it did not."""
    from repmedsam_infer.engines.calibration import Calibration
    from repmedsam_infer.engines.weights import read_metadata

    try:
        return Calibration.from_metadata(read_metadata(path))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def rep_med_sam(path: Path) -> "RepMedSAM":
    """Return a trained RepMedSAM; the baseline is trained for comparison only."""
    from repmedsam_infer.network import RepMedSAM
    from repmedsam_train.weights.networks import load_trained

    network = load_trained(path)
    if not isinstance(network, RepMedSAM):
        raise UsageError(f"{path} is a {type(network).__name__}; this is for RepMedSAM only")
    return network


@app.command()
def import_weights(
    checkpoint: Annotated[Path, typer.Argument(help="Published .pth or .safetensors file.")],
    out: Annotated[Path, typer.Argument(help="Safetensors file to write, for finetune --initial or export.")],
) -> None:
    """Take over a published checkpoint of RepViT-SAM, LiteMedSAM, Rep-MedSAM (its heads) or MedSAM.

    Example: repmedsam-train import-weights repvit_sam.pt repvit_sam.safetensors
    """
    from repmedsam_train.comparison.published import import_checkpoint, write_imported

    kind, model = import_checkpoint(checkpoint)
    write_imported(kind, model, out)
    typer.echo(f"{checkpoint} is {kind}; written as {out}")


add_training(app)
add_commands(app)
app.command()(pack)
add_cases(app)


@app.callback()
def options() -> None:
    pass


def main() -> None:
    """Run the command line; every error of ours, and a package that is missing, becomes one line and its exit code."""
    try:
        app()
    except (RepMedSAMError, ImportError) as error:
        ours = lacking(error) if isinstance(error, ImportError) else error
        typer.echo(f"error: {ours}", err=True)
        sys.exit(ours.exit_code)


def lacking(error: ImportError) -> SetupError:
    """Name the package that is not there or cannot be loaded, and what installs it.

    Raises:
        ImportError: it is a module of ours.

    """
    package = (error.name or "").partition(".")[0]
    if package.startswith("repmedsam"):
        raise error
    why = (
        f"needs the package {package}" if isinstance(error, ModuleNotFoundError) else f"cannot load a package ({error})"
    )
    return SetupError(f"this command {why}: pip install 'repmedsam[train]'")
