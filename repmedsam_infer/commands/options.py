"""Options that several commands share. Nothing heavy is imported here: `--help` needs them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

FILES = "Pictures or volumes: files, or folders of one DICOM series."
MANIFEST = "a manifest of them (.csv or .jsonl, docs/scale.md)"
BOXES_FROM = "Label map whose labels are boxed; a folder of them for several inputs."
WINDOW = (
    "LEVEL,WIDTH, or abdomen, soft-tissue, mediastinum, lung, brain, bone, percentiles; without it what suits the file."
)


def completed(values: Callable[[], Sequence[str]]) -> Callable[[str], list[str]]:
    """Complete a word in the shell by those of `values` that begin with it; they are imported only there."""
    return lambda incomplete: [value for value in values() if value.startswith(incomplete)]


def engines() -> Sequence[str]:
    from repmedsam_infer.engines.load import EngineName

    return get_args(EngineName)


def precisions() -> Sequence[str]:
    from repmedsam_infer.engines.precision import Wanted

    return get_args(Wanted)


def zooms() -> Sequence[str]:
    from repmedsam_infer.preprocess import Zoom

    return get_args(Zoom)


def propagations() -> Sequence[str]:
    from repmedsam_infer.segmentation.propagation import Propagation

    return get_args(Propagation)


def windows() -> Sequence[str]:
    from repmedsam_infer.formats.intensity import PERCENTILES, WINDOWS

    return (*WINDOWS, PERCENTILES)


def endings() -> Sequence[str]:
    from repmedsam_infer.formats.endings import OUTPUTS

    return OUTPUTS


Engine = Annotated[
    str,
    typer.Option(
        help="What runs the network: openvino; or torch or onnxruntime, which are extras.",
        autocompletion=completed(engines),
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="Of the encoder: fp32, bf16, int8, or auto: REPMEDSAM_PRECISION, else the fastest that is as accurate.",
        autocompletion=completed(precisions),
    ),
]
Zoom = Annotated[
    str,
    typer.Option(
        help="Close views of small boxes on pictures: auto, at most twice the time; off; or full, all of them, and "
        "each view mirrored as well.",
        autocompletion=completed(zooms),
    ),
]
Propagation = Annotated[
    str,
    typer.Option(
        help="How a 3D box prompts its slices: ellipsoid, by its sections; or follow, by the mask on the slice before.",
        autocompletion=completed(propagations),
    ),
]
Threads = Annotated[int, typer.Option(min=0, max=1024, help="Threads; 0: all that this process may use.")]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Only shard I, from 1, of N; or N, where an array job's task tells I; or all. Left out: all, and in an "
        "array job the task's own shard (docs/scale.md).",
    ),
]
Weights = Annotated[Path | None, typer.Option(help="Folder of weights, if not the shipped ones.")]
Overlay = Annotated[Path | None, typer.Option(metavar="DIR", help="Also draw every result, as PNG, here.")]
Boxes = Annotated[
    Path | None,
    typer.Option(help="File of boxes: JSON, also 3D Slicer's, COCO's, LabelMe's; CSV; RTSTRUCT (docs/files.md)."),
]
Box = Annotated[
    list[str] | None,
    typer.Option(
        metavar="X0,Y0,[Z0,]X1,Y1[,Z1]|X0,Y0,X1,Y1@Z",
        help="A box in voxels, ends inclusive; may be repeated. With @Z it is on one slice of a volume, and its object "
        "is followed from there, through 200 slices on each side at most.",
    ),
]
BoxMm = Annotated[
    list[str] | None,
    typer.Option(
        metavar="X0,Y0,Z0,X1,Y1,Z1",
        help="A box in mm, x to the patient's left, y to the back, z to the head (LPS); may be repeated.",
    ),
]
Window = Annotated[str | None, typer.Option(help=WINDOW, autocompletion=completed(windows))]
Modality = Annotated[str | None, typer.Option(help="CT, MR, PET, ..., where the files do not state it.")]
Series = Annotated[str | None, typer.Option(help="Of a DICOM folder with several: UID or number.")]
Volume = Annotated[
    int | None, typer.Option(min=0, help="Which volume, from 0, of files that hold several (times, channels, echoes).")
]
