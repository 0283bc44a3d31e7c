"""The command line. Everything heavy is imported inside the command that needs it, so that --help is instant."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from repmedsam_infer import __version__
from repmedsam_infer.commands import options as opt
from repmedsam_infer.errors import EXIT_CASE_FAILED, EXIT_ENVIRONMENT, RepMedSAMError, UsageError

EXIT_CODES = "Exit codes: 0 all well; 1 some case failed; 2 wrong usage; 3 weights or environment."

PURPOSE = "Segment what boxes mark on medical images, on an ordinary CPU. For research, not for diagnosis."

app = typer.Typer(
    name="repmedsam",
    help=f"{PURPOSE}\n\n{EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("predict")
def predict_command(
    inputs: Annotated[Path, typer.Option("--inputs", "-i", help="Folder of npz cases (imgs, boxes).")],
    outputs: Annotated[Path, typer.Option("--outputs", "-o", help="Folder for the segmentations and reports.")],
    engine: opt.Engine = "openvino",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Cases at a time; they share the threads.")] = 1,
    weights: opt.Weights = None,
    zoom: opt.Zoom = "auto",
    propagation: opt.Propagation = "ellipsoid",
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are already there.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Skip cases whose results are already there.")] = False,
    overlay: opt.Overlay = None,
) -> None:
    """Segment every case of a folder.

    A file whose name begins with 3D is a volume, any other a picture. Beside the segmentations go efficiency.csv and
    report.json. A case that fails is reported and leaves the others alone.

    Example: repmedsam predict -i cases -o segs --overlay pictures
    """
    if overwrite and resume:
        raise UsageError("--overwrite and --resume exclude each other")
    from repmedsam_infer.batch.run import Job
    from repmedsam_infer.commands.predict import predict
    from repmedsam_infer.preprocess import check_zoom
    from repmedsam_infer.segmentation.volume import check_propagation

    job = Job(inputs, outputs, overwrite, resume, overlay, check_zoom(zoom), check_propagation(propagation))
    code = predict(job, engine, precision, threads, jobs, weights)
    if code:
        raise typer.Exit(code)


@app.command("segment")
def segment_command(
    inputs: Annotated[list[Path], typer.Argument(help=opt.FILES, show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Label map to write, its ending says how; or a folder for several.")
    ],
    boxes: opt.Boxes = None,
    boxes_from: Annotated[Path | None, typer.Option(metavar="LABELS", help=opt.BOXES_FROM)] = None,
    box: opt.Box = None,
    window: opt.Window = None,
    modality: opt.Modality = None,
    series: opt.Series = None,
    ending: Annotated[
        str, typer.Option("--format", help="Ending of label maps in a folder (.nii.gz, ...), if not the input's kind.")
    ] = "",
    overlay: opt.Overlay = None,
    engine: opt.Engine = "openvino",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    weights: opt.Weights = None,
    zoom: opt.Zoom = "auto",
    propagation: opt.Propagation = "ellipsoid",
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are already there.")] = False,
) -> None:
    """Segment files as they are (NIfTI, DICOM, NRRD, MetaImage, PNG, JPEG, TIFF): a label map in the same place.

    Label 1 is the first box, label 2 the second. An input that fails is reported and leaves the others alone.

    Example: repmedsam segment ct.nii.gz --boxes boxes.json --window abdomen -o labels.nii.gz
    """
    from repmedsam_infer.commands.reading import make_reading
    from repmedsam_infer.commands.segment import FileJob, segment_files
    from repmedsam_infer.formats.boxes.source import box_source
    from repmedsam_infer.formats.endings import with_names
    from repmedsam_infer.preprocess import check_zoom
    from repmedsam_infer.segmentation.volume import check_propagation

    inputs = with_names(inputs)
    source = box_source(boxes, boxes_from, box or [], inputs)
    reading = make_reading(window, modality, series)
    way = check_propagation(propagation)
    job = FileJob(inputs, output, source, reading, ending, overlay, overwrite, check_zoom(zoom), way)
    code = segment_files(job, engine, precision, threads, weights)
    if code:
        raise typer.Exit(code)


@app.command()
def convert(
    inputs: Annotated[list[Path], typer.Argument(help=f"{opt.FILES} With --like: the npz of one result.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for cases; with --like: the label map.")],
    boxes: opt.Boxes = None,
    boxes_from: Annotated[
        Path | None, typer.Option(metavar="LABELS", help=f"{opt.BOXES_FROM} They become ground truth (gts), too.")
    ] = None,
    box: opt.Box = None,
    window: opt.Window = None,
    modality: opt.Modality = None,
    series: opt.Series = None,
    like: Annotated[
        Path | None, typer.Option(metavar="ORIGINAL", help="Put a result back in the place of its original.")
    ] = None,
    *,
    stored_order: Annotated[
        bool, typer.Option("--stored-order", help="With --like: slices are in the original's own order.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is already there.")] = False,
) -> None:
    """Make npz cases of files and their boxes; or, with --like, a label map of the result of such a case.

    Example: repmedsam convert ct.nii.gz --boxes boxes.json -o cases

    Example: repmedsam convert segs/3DBox_CT_ct.npz --like ct.nii.gz -o labels.nii.gz
    """
    from repmedsam_infer.commands.convert import make_cases, put_back, show_converted
    from repmedsam_infer.commands.reading import make_reading
    from repmedsam_infer.formats.boxes.source import box_source
    from repmedsam_infer.formats.endings import with_names

    reading = make_reading(window, modality, series)
    if like is not None:
        if len(inputs) > 1:
            raise UsageError("--like puts one result back at a time")
        if output.exists() and not overwrite:
            raise UsageError(f"{output} is already there: use --overwrite to replace it")
        put_back(inputs[0], like, output, reading, stored_order=stored_order)
        return
    inputs = with_names(inputs)
    made = make_cases(inputs, output, box_source(boxes, boxes_from, box or [], inputs), reading, overwrite=overwrite)
    if show_converted(made):
        raise typer.Exit(EXIT_CASE_FAILED)


@app.command()
def evaluate(
    segs: Annotated[Path, typer.Option("--segs", "-s", help="Folder of segmentations (npz with segs).")],
    gts: Annotated[Path, typer.Option("--gts", "-g", help="Folder of ground truth (npz with gts) of the same names.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="CSV", help="Also a row a case.")] = None,
    *,
    challenge: Annotated[bool, typer.Option("--challenge", help="Score pictures as the challenge did.")] = False,
    baselines: Annotated[bool, typer.Option("--baselines", help="Also score the filled box and its ellipse.")] = False,
    sizes: Annotated[bool, typer.Option("--sizes", help="Also by size of the objects in the frame.")] = False,
    confidence: Annotated[bool, typer.Option("--confidence", help="Also how true confidence is.")] = False,
) -> None:
    """DSC and NSD (tolerance 2 mm) per modality and overall, as a Markdown table.

    A missing segmentation scores 0. With --challenge, the NSD of a picture is that of a one-slice volume, and it is 0
    for every case of a mean DSC up to 0.2.

    Example: repmedsam evaluate -s segs -g cases --baselines -o scores.csv
    """
    try:
        from repmedsam_infer.commands.evaluate import Tables, evaluate_folder
    except ImportError as error:
        typer.echo(f"error: evaluate needs the package {error.name}: pip install 'repmedsam[evaluate]'", err=True)
        raise typer.Exit(EXIT_ENVIRONMENT) from None
    wanted = Tables(challenge, baselines, sizes, confidence)
    code = evaluate_folder(segs, gts, output, wanted)
    if code:
        raise typer.Exit(code)


@app.command()
def report(
    segs: Annotated[Path, typer.Option("--segs", "-s", help="Folder that predict wrote to.")],
    cases: Annotated[Path, typer.Option("--cases", "--inputs", "-i", help="Folder of the cases that it read.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="HTML", help="The page.")],
    gts: Annotated[
        Path | None, typer.Option("--gts", "-g", help="Folder of ground truth, if the cases do not hold it (gts).")
    ] = None,
) -> None:
    """One page of a run to read and pass on: pictures, sizes and diameters of objects, times, warnings, scores.

    It is one HTML file that needs no network and opens in any browser; pictures shrink where there are many cases, to
    24 MiB together. Exit code 1: a case's files could not be read, as the page says, too.

    Example: repmedsam report -s segs -i cases -o report.html
    """
    from repmedsam_infer.report_page.make import make_report
    from repmedsam_infer.report_page.results import Folders

    problems = make_report(Folders(segs, cases, gts), output)
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    typer.echo(f"Open {output} in a browser")
    if problems:
        raise typer.Exit(EXIT_CASE_FAILED)


@app.command()
def benchmark(
    folder: Annotated[Path | None, typer.Argument(help="Folder of npz cases; without it drawn ones are used.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help="As in predict; several are compared.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="As in predict; several are compared.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured; medians are shown.")] = 3,
    threads: opt.Threads = 0,
    weights: opt.Weights = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="JSON", help="Every single time.")] = None,
) -> None:
    """Seconds a case: of a whole process (cold), in a loaded one (warm), by stage, as a Markdown table.

    Drawn cases have the shapes and object counts of the paper's table 5, and of two more sizes.

    Example: repmedsam benchmark --precision fp32 --precision int8 -o times.json
    """
    from functools import partial

    from repmedsam_infer.commands.benchmark import Variant, benchmark_folder

    variants = [Variant(e, p) for e in engine or ["openvino"] for p in precision or ["auto"]]
    progress = partial(typer.echo, err=True)
    typer.echo(benchmark_folder(folder, variants, rounds, threads, weights, output, progress))


@app.command()
def samples(folder: Annotated[Path, typer.Argument(help="Where to put them.")]) -> None:
    """Make sample cases with ground truth: drawn phantoms of several modalities, two of them volumes."""
    from repmedsam_infer.evaluation.phantoms import write_samples

    typer.echo(f"{len(write_samples(folder))} cases in {folder}")


@app.command()
def prepare(
    folder: Annotated[Path, typer.Argument(help="Where to put the compiled networks.")],
    weights: opt.Weights = None,
) -> None:
    """Compile the networks for this processor, so that every later start is quicker.

    They are used where REPMEDSAM_CACHE names the folder, and only on this kind of processor.

    Example: repmedsam prepare ~/.cache/repmedsam
    """
    from repmedsam_infer.commands.environment import prepare as compile_networks

    precisions = compile_networks(folder, weights)
    typer.echo(f"{folder}: networks in {' and '.join(precisions)} for this processor")


@app.command()
def info(weights: opt.Weights = None) -> None:
    """Versions, engines, weights and machine, as JSON."""
    import json

    from repmedsam_infer.commands.environment import describe

    typer.echo(json.dumps(describe(weights), indent=2))


def version(*, value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    *,
    _: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every error of ours becomes one line and its exit code."""
    try:
        app()
    except RepMedSAMError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
