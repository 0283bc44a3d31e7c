"""Commands that measure and tell: scores, reports, times, sample cases, the machine."""

from pathlib import Path
from typing import Annotated

import typer

from repmedsam_infer.cli.root import app
from repmedsam_infer.cli.shard import find_shard
from repmedsam_infer.commands import options as opt
from repmedsam_infer.errors import EXIT_CASE_FAILED, EXIT_ENVIRONMENT, EXIT_OK, UsageError, printable
from repmedsam_infer.io.case_files import is_manifest


@app.command()
def evaluate(
    segs: Annotated[
        Path | None, typer.Option("--segs", "-s", help="Folder of segmentations (npz with segs).", show_default=False)
    ] = None,
    gts: Annotated[
        Path | None,
        typer.Option(
            "--gts",
            "-g",
            help="Folder of ground truth (npz with gts) of the same names, or a manifest (column gts, else image).",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="CSV", help="Also a row a case.")] = None,
    shard: opt.Shard = None,
    *,
    merge: Annotated[
        bool, typer.Option("--merge", help="Join the rows (-o) that shards wrote, and nothing else.")
    ] = False,
    challenge: Annotated[bool, typer.Option("--challenge", help="Score pictures as the challenge did.")] = False,
    baselines: Annotated[bool, typer.Option("--baselines", help="Also score the filled box and its ellipse.")] = False,
    sizes: Annotated[bool, typer.Option("--sizes", help="Also by size of the objects in the frame.")] = False,
    confidence: Annotated[bool, typer.Option("--confidence", help="Also how true confidence is.")] = False,
) -> None:
    """DSC and NSD (tolerance 2 mm) per modality and overall, as a Markdown table.

    A missing segmentation scores 0. Ground truth that is missing or cannot be used is left out, and named; exit code 1
    in either case. With --challenge, the NSD of a picture is that of a one-slice volume, and it is 0 for every case of
    a mean DSC up to 0.2.

    With --shard the rows go to scores.I-of-N.csv, which --merge joins.

    Example: repmedsam evaluate -s segs -g cases --baselines -o scores.csv

    Example: repmedsam evaluate --merge -o scores.csv
    """
    try:
        from repmedsam_infer.commands.evaluate import Tables, evaluate_folder, merge_scores
    except ImportError as error:
        typer.echo(f"error: evaluate needs the package {error.name}: pip install 'repmedsam[evaluate]'", err=True)
        raise typer.Exit(EXIT_ENVIRONMENT) from None
    wanted = Tables(challenge, baselines, sizes, confidence)
    if merge:
        if output is None or segs is not None or shard is not None or wanted != Tables():
            raise UsageError("--merge joins the rows that shards wrote with -o: give -o, and of the rest at most -g")
        code = merge_scores(output, gts)
    elif segs is None or gts is None:
        raise UsageError(
            f"the folder of {'segmentations is missing: -s' if segs is None else 'ground truth is missing: -g'}"
        )
    else:
        code = evaluate_folder(segs, gts, output, wanted, find_shard(shard))
    if code:
        raise typer.Exit(code)


@app.command()
def report(
    segs: Annotated[Path, typer.Option("--segs", "-s", help="Folder that predict or segment wrote to.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="HTML", help="The page; with --merge it may be left out.")
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            "--cases",
            "--inputs",
            "-i",
            help="Folder of the images that it read, if they lie elsewhere now; with --merge also the manifest: cases "
            "that no shard did are named.",
        ),
    ] = None,
    gts: Annotated[
        Path | None,
        typer.Option("--gts", "-g", help="Folder of ground truth of the same names, if the cases do not hold it."),
    ] = None,
    *,
    merge: Annotated[bool, typer.Option("--merge", help="First join the reports of shards (predict --shard).")] = False,
) -> None:
    """One page of a run to read and pass on: pictures, slices, sizes of objects, times, warnings, scores.

    It is one HTML file that needs no network and opens in any browser; pictures shrink where there are many cases, to
    24 MiB together, and slices of volumes are left out then, as the page says. Images are read from where report.json
    says that they are; with -i from that folder, and from nowhere else. Exit code 1: a case's files could not be read,
    as the page says, too.

    With --merge report.json, efficiency.csv and labels.csv are made of those of all shards; cases that are missing,
    twice there or failed are named, and the exit code is 1 where there are some.

    Example: repmedsam report -s segs -i cases -o report.html

    Example: repmedsam report --merge -s segs -i cases
    """
    if output is None and not merge:
        raise UsageError("where the page goes is missing: -o report.html")
    code = EXIT_OK
    if merge:
        from repmedsam_infer.commands.merged_files import merge_reports

        code = merge_reports(segs, cases)
    elif cases is not None and is_manifest(cases):
        raise UsageError(f"{cases} is a manifest, which is for --merge: images are found where report.json says")
    if output is None:
        if code:
            raise typer.Exit(code)
        return
    from repmedsam_infer.report_page.make import make_report
    from repmedsam_infer.report_page.opened import Folders

    images = None if cases is None or is_manifest(cases) else cases
    problems = make_report(Folders(segs, images, gts), output)
    for problem in problems:
        typer.echo(f"error: {printable(problem)}", err=True)
    typer.echo(f"Open {printable(str(output))} in a browser")
    if problems or code:
        raise typer.Exit(EXIT_CASE_FAILED)


@app.command()
def benchmark(
    folder: Annotated[Path | None, typer.Argument(help="Folder of npz cases; without it drawn ones are used.")] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(help="As in predict; several are compared.", autocompletion=opt.completed(opt.engines)),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="As in predict; several are compared.", autocompletion=opt.completed(opt.precisions)),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured; medians are shown.")] = 3,
    threads: opt.Threads = 0,
    weights: opt.Weights = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="JSON", help="Every single time.")] = None,
    *,
    choose: Annotated[bool, typer.Option("--choose", help="Which precision to take on this machine.")] = False,
) -> None:
    """Seconds a case: of a whole process (cold), in a loaded one (warm), by stage, as a Markdown table.

    Drawn cases have the shapes and object counts of the paper's table 5, and of two more sizes.

    With --choose: in about a minute, every precision that runs on this machine, on a picture and a volume (or on your
    cases), how far its masks are those in fp32, which to take, what auto takes, and how to keep another choice.

    Example: repmedsam benchmark --precision fp32 --precision int8 -o times.json
    """
    from functools import partial

    progress = partial(typer.echo, err=True)
    if choose:
        from repmedsam_infer.commands.timing.choose import choose as choose_precision

        if engine or precision:
            raise UsageError("--choose compares every precision of openvino: leave out --engine and --precision")
        typer.echo(choose_precision(folder, rounds, threads, weights, output, progress))
        return
    from repmedsam_infer.commands.timing.benchmark import Variant, benchmark_folder

    variants = [Variant(e, p) for e in engine or ["openvino"] for p in precision or ["auto"]]
    typer.echo(benchmark_folder(folder, variants, rounds, threads, weights, output, progress))


@app.command()
def samples(folder: Annotated[Path, typer.Argument(help="Where to put them.")]) -> None:
    """Make sample cases with ground truth: drawn phantoms of several modalities, two of them volumes."""
    from repmedsam_infer.evaluation.phantoms import write_samples

    typer.echo(f"{len(write_samples(folder))} cases in {printable(str(folder))}")


@app.command()
def prepare(
    folder: Annotated[
        Path | None, typer.Argument(help="Where to put the compiled networks; left out: where every run keeps them.")
    ] = None,
    weights: opt.Weights = None,
) -> None:
    """Compile the networks for this processor, so that every later start is quicker, the first one too.

    The first run does so by itself, in the user's cache folder. With a folder, as for an image, they are used where
    REPMEDSAM_CACHE names it. Only this kind of processor uses them, and only its owner may be able to write there.

    Example: repmedsam prepare compiled
    """
    from repmedsam_infer.commands.environment import prepare as compile_networks

    written, precisions = compile_networks(folder, weights)
    typer.echo(f"{printable(str(written))}: networks in {' and '.join(precisions)} for this processor")


@app.command()
def info(weights: opt.Weights = None) -> None:
    """Versions, engines, weights and machine, as JSON."""
    import json

    from repmedsam_infer.commands.environment import describe

    typer.echo(json.dumps(describe(weights), indent=2))
