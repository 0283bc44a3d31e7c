"""Commands that segment, and that turn files into cases and back."""

from pathlib import Path
from typing import Annotated

import typer

from repmedsam_infer.cli.root import app
from repmedsam_infer.cli.shard import find_shard
from repmedsam_infer.commands import options as opt
from repmedsam_infer.errors import EXIT_CASE_FAILED, UsageError
from repmedsam_infer.system.process import check_address_space

Jobs = Annotated[int, typer.Option(min=1, help="Cases at a time; they share the threads.")]
Resume = Annotated[bool, typer.Option("--resume", help="Skip cases whose results are already there.")]


@app.command("predict")
def predict_command(
    inputs: Annotated[
        Path, typer.Option("--inputs", "-i", help=f"Folder of npz cases (imgs, boxes), or {opt.MANIFEST}.")
    ],
    outputs: Annotated[Path, typer.Option("--outputs", "-o", help="Folder for the segmentations and reports.")],
    engine: opt.Engine = "openvino",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    jobs: Jobs = 1,
    weights: opt.Weights = None,
    zoom: opt.Zoom = "auto",
    propagation: opt.Propagation = "ellipsoid",
    shard: opt.Shard = None,
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are already there.")] = False,
    resume: Resume = False,
    overlay: opt.Overlay = None,
) -> None:
    """Segment every case of a folder.

    A file whose name begins with 3D is a volume, any other a picture. Beside the segmentations go efficiency.csv,
    report.json and labels.csv, a table of all objects. A case that fails is reported and leaves the others alone. With
    --shard these files have the shard's number in their names, and `repmedsam report --merge` joins them.

    Example: repmedsam predict -i cases -o segs --overlay pictures
    """
    check_choice(overwrite=overwrite, resume=resume)
    from repmedsam_infer.batch.job import Job
    from repmedsam_infer.commands.predict import predict

    job = Job(inputs, outputs, overwrite, resume, overlay, zoom, propagation, find_shard(shard))
    code = predict(job, engine, precision, threads, jobs, weights)
    if code:
        raise typer.Exit(code)


@app.command("segment")
def segment_command(
    inputs: Annotated[list[Path], typer.Argument(help=f"{opt.FILES} Or {opt.MANIFEST}.", show_default=False)],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Label map to write, its ending says how; or a folder for several.")
    ],
    boxes: opt.Boxes = None,
    boxes_from: Annotated[Path | None, typer.Option(metavar="LABELS", help=opt.BOXES_FROM)] = None,
    box: opt.Box = None,
    box_mm: opt.BoxMm = None,
    window: opt.Window = None,
    modality: opt.Modality = None,
    series: opt.Series = None,
    volume: opt.Volume = None,
    ending: Annotated[
        str,
        typer.Option(
            "--format",
            help="Of label maps in a folder, if not the input's: .nii.gz, .nii, .nrrd, .seg.nrrd, .mha, .png, .dcm or "
            ".npz.",
            autocompletion=opt.completed(opt.endings),
        ),
    ] = "",
    overlay: opt.Overlay = None,
    engine: opt.Engine = "openvino",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    jobs: Jobs = 1,
    weights: opt.Weights = None,
    zoom: opt.Zoom = "auto",
    propagation: opt.Propagation = "ellipsoid",
    shard: opt.Shard = None,
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are already there.")] = False,
    resume: Resume = False,
) -> None:
    """Segment files as they are (NIfTI, DICOM, NRRD, MetaImage, PNG, JPEG, TIFF): a label map in the same place.

    Label 1 is the first box, label 2 the second. An input that fails is reported and leaves the others alone. A table
    of all objects goes beside the label maps (labels.csv), into a folder also report.json and efficiency.csv.

    Example: repmedsam segment ct.nii.gz --boxes boxes.json --window abdomen -o labels.nii.gz
    """
    check_choice(overwrite=overwrite, resume=resume)
    from repmedsam_infer.commands.files.file_job import FileJob
    from repmedsam_infer.commands.files.listed_files import Given, find_inputs
    from repmedsam_infer.commands.files.reading import make_reading
    from repmedsam_infer.commands.files.segment import segment_files
    from repmedsam_infer.formats.endings import output_path
    from repmedsam_infer.io.case_files import is_manifest
    from repmedsam_infer.preprocess import check_zoom
    from repmedsam_infer.segmentation.propagation import check_propagation

    given = Given(boxes, boxes_from, box or [], box_mm or [])
    manifest = next(filter(is_manifest, inputs), None)
    # A single image is that task's own, whatever array job it is in.
    own = find_shard(shard) if shard is not None or manifest is not None or len(inputs) > 1 else None
    found = find_inputs(inputs, own, given, make_reading(window, modality, series, volume))
    way, place = check_propagation(propagation), output_path(output)
    job = FileJob(found, place, ending, overlay, overwrite, check_zoom(zoom), way, resume, own, manifest)
    code = segment_files(job, engine, precision, threads, weights, jobs)
    if code:
        raise typer.Exit(code)


def check_choice(*, overwrite: bool, resume: bool) -> None:
    """Check what commands that load the network have in common."""
    if overwrite and resume:
        raise UsageError("--overwrite and --resume exclude each other")
    check_address_space()


@app.command()
def convert(
    inputs: Annotated[list[Path], typer.Argument(help=f"{opt.FILES} With --like: the npz of one result.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for cases; with --like: the label map.")],
    boxes: opt.Boxes = None,
    boxes_from: Annotated[
        Path | None, typer.Option(metavar="LABELS", help=f"{opt.BOXES_FROM} They become ground truth (gts), too.")
    ] = None,
    box: opt.Box = None,
    box_mm: opt.BoxMm = None,
    window: opt.Window = None,
    modality: opt.Modality = None,
    series: opt.Series = None,
    volume: opt.Volume = None,
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
    from repmedsam_infer.commands.files.convert import make_cases, put_back, show_converted
    from repmedsam_infer.commands.files.reading import make_reading
    from repmedsam_infer.formats.boxes.source import box_source
    from repmedsam_infer.formats.endings import with_names

    reading = make_reading(window, modality, series, volume)
    if like is not None:
        if len(inputs) > 1:
            raise UsageError("--like puts one result back at a time")
        if output.exists() and not overwrite:
            raise UsageError(f"{output} is already there: use --overwrite to replace it")
        put_back(inputs[0], like, output, reading, stored_order=stored_order)
        return
    inputs = with_names(inputs)
    made = make_cases(
        inputs, output, box_source(boxes, boxes_from, box or [], inputs, box_mm or []), reading, overwrite=overwrite
    )
    if show_converted(made):
        raise typer.Exit(EXIT_CASE_FAILED)
