"""The command `repmedsam-train cases`. Heavy imports happen inside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repmedsam_infer.commands import options as opt
from repmedsam_infer.errors import EXIT_CASE_FAILED, UsageError

if TYPE_CHECKING:
    from repmedsam_infer.commands.files.reading import Reading
    from repmedsam_train.cases.make import Made
    from repmedsam_train.cases.pairs import Pair


def cases(
    images: Annotated[
        Path,
        typer.Argument(
            help="Folder of images, or a manifest (.csv, .jsonl): image, labels, group, ... (docs/data.md)."
        ),
    ],
    labels: Annotated[Path | None, typer.Argument(help="Folder of label maps that are called as their images.")] = None,
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder for cases and groups.csv.")] = Path("cases"),
    dataset: Annotated[str, typer.Option(help="What the cases are called; by default as the folder.")] = "",
    modality: opt.Modality = None,
    window: opt.Window = None,
    threshold: Annotated[
        float | None, typer.Option(help="What is brighter in a mask is marked, as one object: 127 for masks in JPEG.")
    ] = None,
    side: Annotated[int | None, typer.Option(min=32, help="Longest side of images and slices; else as it is.")] = None,
    group_by: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Finds the patient in an image's name; its parentheses, if there are some."),
    ] = None,
    *,
    objects: Annotated[
        bool, typer.Option("--objects", help="Every connected part of a mask is an object; else every label is.")
    ] = False,
    split: Annotated[
        bool, typer.Option("--split", help="Hold out a fifth of the patients: folders train and val.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace cases that are already there.")] = False,
) -> None:
    """Make training cases (npz: imgs, gts, boxes) of images and masks, and groups.csv: which are of one patient.

    A pair that fails is named, and leaves the others alone; the exit code is 1 then.

    Example: repmedsam-train cases images masks --modality US --group-by '^P[0-9]+' -o my --split
    """
    from repmedsam_infer.batch.run import make_writable_folder
    from repmedsam_infer.commands.files.convert import UNKNOWN
    from repmedsam_infer.commands.files.reading import make_reading
    from repmedsam_infer.io.case_files import modality_of
    from repmedsam_infer.system.streams import complain
    from repmedsam_train.cases.make import Wanted, check_unsplit, make_cases, split_folder
    from repmedsam_train.cases.objects import Marking

    pairs = find_pairs(images, labels, make_reading(window, modality, None), group_by)
    in_parts = bool(pairs[0].part)
    if in_parts and split:
        raise UsageError("--split: the manifest says what is held out (column part)")
    wanted = Wanted(dataset or out.resolve().name, Marking(objects, threshold), side, overwrite)
    if in_parts or split:
        check_unsplit(out)
    make_writable_folder(out)
    made: list[Made] = []
    for one in make_cases(pairs, out, wanted):
        made.append(one)
        show(one)
    good = [one for one in made if one.case]
    if any(modality_of(one.case) == UNKNOWN for one in good):
        complain("note: the modality is not stated, and training draws cases by it: give --modality, or a column of it")
    if good:
        summary = f"{len(good)} cases of {len({one.group for one in good})} groups in {out}"
        if in_parts or split:
            from repmedsam_train.recipe import SEED

            part_of = {one.case: one.part for one in good} if in_parts else None
            trained_on, held_out = split_folder(out, SEED, part_of)
            summary = f"{summary}: {trained_on} in train, {held_out} in val"
        typer.echo(summary)
    if len(good) < len(made):
        raise typer.Exit(EXIT_CASE_FAILED)


def find_pairs(images: Path, labels: Path | None, reading: "Reading", group_by: str | None) -> "list[Pair]":
    """Of folders or a manifest. Raises UsageError where they are neither, or name no image."""
    from repmedsam_infer.io.case_files import is_manifest
    from repmedsam_infer.system.streams import complain
    from repmedsam_train.cases.pairs import own_groups, pairs_of_folders, pairs_of_manifest

    if is_manifest(images):
        if labels is not None or group_by is not None:
            raise UsageError(f"{images} is a manifest: its columns labels and group say which masks and whose")
        pairs = pairs_of_manifest(images, reading)
    elif labels is None:
        raise UsageError(f"{images}: a folder of label maps is needed as well, or a manifest (.csv, .jsonl)")
    else:
        pairs = pairs_of_folders(images, labels, reading, group_by)
    if own_groups(pairs):
        complain("note: every image is taken for another patient's; else say whose they are (--group-by, column group)")
    return pairs


def show(made: "Made") -> None:
    """Print the case and its objects; to stderr what was odd, or why there is no case."""
    from repmedsam_infer.batch.warning_list import cut
    from repmedsam_infer.system.streams import complain

    for warning in cut(made.warnings):
        complain(f"warning: {made.image}: {warning}")
    if made.error:
        complain(f"error: {made.error}")
    else:
        typer.echo(f"{made.case}: {made.objects} object{'' if made.objects == 1 else 's'}")


def add_cases(app: typer.Typer) -> None:
    app.command()(cases)
