"""Commands that compare networks, precisions and boxes. Heavy imports happen inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

from repmedsam_infer.errors import EXIT_CASE_FAILED, UsageError


def predict(
    model: Annotated[Path, typer.Argument(help="model.safetensors of a run, of either network.")],
    inputs: Annotated[Path, typer.Option("--inputs", "-i", help="Folder of npz cases (imgs, boxes).")],
    outputs: Annotated[Path, typer.Option("--outputs", "-o", help="Folder for the segmentations.")],
) -> None:
    """Segment a folder with a network as it was trained, in torch, without exporting it.

    Example: repmedsam-train predict runs/first/model.safetensors -i data/val -o segs/first
    """
    from repmedsam_infer.batch.job import Job
    from repmedsam_infer.batch.progress import follow
    from repmedsam_infer.batch.run import cases_to_run, run
    from repmedsam_infer.engines.pool import EnginePool
    from repmedsam_infer.engines.torch import TorchEngine
    from repmedsam_infer.network import reparameterize
    from repmedsam_train.weights.networks import load_trained

    job = Job(inputs, outputs, overwrite=True)
    cases = cases_to_run(job)
    engines = [TorchEngine(reparameterize(load_trained(model)))]
    if any(
        report.status == "failed"
        for report in follow(run(job, cases, EnginePool.holding({False: engines, True: engines})), len(cases))
    ):
        raise typer.Exit(EXIT_CASE_FAILED)


def compare(
    segmentations: Annotated[list[str], typer.Argument(help="NAME=FOLDER of segmentations, one or more.")],
    gts: Annotated[Path, typer.Option("--gts", "-g", help="Folder of ground truth.")],
) -> None:
    """DSC and NSD of several networks' segmentations side by side, as a Markdown table.

    Example: repmedsam-train compare baseline=segs/baseline ours=segs/ours -g data/val
    """
    from repmedsam_infer.evaluation.markdown import markdown
    from repmedsam_train.comparison.masks import compare as run

    named = dict(item.partition("=")[::2] for item in segmentations)
    if not all(named.values()):
        raise UsageError("name every folder: NAME=FOLDER")
    typer.echo(markdown(run({name: Path(folder) for name, folder in named.items()}, gts)))


def agreement(
    reference: Annotated[Path, typer.Argument(help="Folder of segmentations, in fp32 say.")],
    other: Annotated[Path, typer.Argument(help="Folder of segmentations of the same cases, in int8 say.")],
    gts: Annotated[Path, typer.Option("--gts", "-g", help="Folder of ground truth.")],
) -> None:
    """How much masks depart from a reference, object by object, by data set, as a Markdown table.

    Example: repmedsam-train agreement segs/fp32 segs/int8 -g data/val
    """
    from repmedsam_infer.evaluation.markdown import markdown
    from repmedsam_train.comparison.masks import agreement_table, agreements

    typer.echo(markdown(agreement_table(list(agreements(reference, other, gts)))))


def loosen(
    cases: Annotated[Path, typer.Argument(help="Folder of npz cases with tight boxes.")],
    out: Annotated[Path, typer.Argument(help="Folder for the same cases with other boxes.")],
    sides: Annotated[
        float, typer.Option(min=-0.4, max=2, help="Of a box's width and height: so much more on every side in x and y.")
    ] = 0.0,
    slices: Annotated[int, typer.Option(help="In volumes: so many slices more at each end.")] = 0,
) -> None:
    """Make boxes larger or smaller than their objects, as people draw them, to see what it costs.

    Example: repmedsam-train loosen data/val data/val10 --sides 0.1
    """
    from repmedsam_train.comparison.loose_boxes import loosen_cases

    try:
        count = loosen_cases(cases, out, sides, slices)
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror})") from error
    typer.echo(f"{count} cases in {out}")


def one_slice(
    cases: Annotated[Path, typer.Argument(help="Folder of npz cases with gts; its volumes are used.")],
    weights: Annotated[Path | None, typer.Option(help="Folder of weights, if not the shipped ones.")] = None,
    *,
    middle: Annotated[
        bool,
        typer.Option("--middle", help="Boxes on the middle slice of each object, not on the one where it is largest."),
    ] = False,
) -> None:
    """DSC of objects that were boxed on one slice, and how many ends are found, by data set, as a Markdown table.

    Example: repmedsam-train one-slice data/val
    """
    from repmedsam_infer.engines.load import load_engine
    from repmedsam_infer.engines.weights import find_weights
    from repmedsam_infer.evaluation.markdown import markdown
    from repmedsam_infer.system.threads import available_threads
    from repmedsam_train.comparison.one_slice import one_slice_table, score_one_slice_boxes

    engine = load_engine("openvino", find_weights(weights), available_threads(), volumes=True)
    scores = list(score_one_slice_boxes(cases, engine, "middle" if middle else "largest"))
    if not scores:
        raise UsageError(f"there are no volumes with objects in {cases}")
    typer.echo(markdown(one_slice_table(scores)))


def speed(
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder for speed.md, speed.json and speed.png.")],
    folder: Annotated[Path | None, typer.Argument(help="Folder of npz cases; without it drawn ones are used.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is done; medians are shown.")] = 3,
    depth: Annotated[int, typer.Option(min=1, help="Volumes are cut to so many slices.")] = 4,
) -> None:
    """Time the baseline's variant, the paper's variants and ours on the same cases, in turn (paper table 5).

    Example: repmedsam-train speed -o speed
    """
    import tempfile
    from functools import partial

    from repmedsam_infer.commands.timing.benchmark import cases_of
    from repmedsam_infer.engines.weights import find_weights
    from repmedsam_infer.system.threads import available_threads
    from repmedsam_train.comparison.speed import compare_speed, table, variants, write

    threads = available_threads()
    everyone = variants(find_weights(), threads)
    with tempfile.TemporaryDirectory(prefix="repmedsam-") as scratch:
        paths = cases_of(folder, Path(scratch))
        cases = compare_speed(paths, everyone, rounds, depth, Path(scratch), partial(typer.echo, err=True))
    typer.echo(table(cases, everyone))
    try:
        write(out, cases, everyone)
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror})") from error


def ceiling(
    cases: Annotated[Path, typer.Argument(help="Folder of npz cases with gts.")],
) -> None:
    """Show the best DSC and NSD that logits of 64, 128 and 256 pixels a side can give, as a Markdown table."""
    from repmedsam_train.comparison.ceiling import ceilings, table

    typer.echo(table(list(ceilings(cases))))


def table4(
    train: Annotated[Path, typer.Option(help="Folder of npz cases (imgs, gts), or of their shards, to train on.")],
    val: Annotated[Path, typer.Option(help="Folder of held-out npz cases to be evaluated on.")],
    out: Annotated[
        Path, typer.Option(help="Folder for all results; what an earlier run left in it is not done again.")
    ],
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each network is trained.")],
    size: Annotated[int, typer.Option(help="Pixels of the images trained on, at most: 128, 192 or 256.")] = 256,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    config: Annotated[
        Path | None, typer.Option(help="TOML file of what to change about the recipe of all rows.")
    ] = None,
    medsam: Annotated[
        Path | None, typer.Option(help="MedSAM's checkpoint (medsam_vit_b.pth); without it MedSAM is timed only.")
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="How many held-out cases of each data set, at most.")] = 4,
) -> None:
    """Train and compare LiteMedSAM, RepMedSAM from scratch and distilled, ours, and MedSAM (paper table 4).

    Each is trained for the same time on the same data. After Ctrl-C the same command goes on where it was.

    Example: repmedsam-train table4 --train data/train --val data/val --out runs/table4 --seconds 1200 --size 128
    """
    from functools import partial

    from repmedsam_train.table4.report import as_markdown
    from repmedsam_train.table4.run import Job
    from repmedsam_train.table4.run import table4 as run

    job = Job(train, val, out, seconds, size, cases, device, medsam, config)
    typer.echo(as_markdown(run(job, partial(typer.echo, err=True))), nl=False)


def add_commands(app: typer.Typer) -> None:
    """Make the functions above commands of `app`."""
    for command in (predict, compare, agreement, loosen, one_slice, speed, ceiling, table4):
        app.command()(command)
