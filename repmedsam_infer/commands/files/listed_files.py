"""Inputs of `repmedsam segment` out of a manifest: each with its own boxes, window and place."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from repmedsam_infer.commands.files.file_job import FileInput
from repmedsam_infer.commands.files.reading import Reading, make_reading
from repmedsam_infer.errors import UsageError
from repmedsam_infer.formats.boxes.source import BoxSource, box_source
from repmedsam_infer.formats.boxes.typed import parse_box, parse_box_mm
from repmedsam_infer.formats.endings import OUTPUTS, ending_of, name_of, with_names
from repmedsam_infer.io.case_files import is_manifest
from repmedsam_infer.shards.manifest import BOXES, COLUMNS, READING, ManifestRow, read_manifest
from repmedsam_infer.shards.shard import Shard

BETWEEN = ";"  # several boxes in one cell
Made = TypeVar("Made")


class Given(NamedTuple):
    """What --boxes, --boxes-from, --box and --box-mm say; of each case, or of those that a manifest says nothing of."""

    boxes: Path | None
    boxes_from: Path | None
    box: Sequence[str]
    box_mm: Sequence[str]

    def source(self, inputs: Sequence[Path]) -> BoxSource:
        """`box_source` for these inputs. Raise as it does."""
        return box_source(self.boxes, self.boxes_from, self.box, inputs, self.box_mm)


def find_inputs(inputs: Sequence[Path], shard: Shard | None, given: Given, reading: Reading) -> list[FileInput]:
    """Return the inputs of the command line; or those of a manifest on it, of the shard's rows if there is one.

    Raises:
        UsageError: a manifest makes no sense or is not the only input, or boxes are missing or cannot be for these.

    """
    manifest = next(filter(is_manifest, inputs), None)
    if manifest is None:
        inputs = with_names(inputs)
        source = given.source(inputs)
        return [FileInput(path, source, reading) for path in inputs]
    if len(inputs) > 1:
        raise UsageError(f"{manifest} is a manifest, which is given alone: add a line to it for each other image")
    several = [manifest, manifest]  # boxes of the command line have to be for several images
    return listed_inputs(manifest, shard, given.source(several) if any(given) else None, reading)


def listed_inputs(manifest: Path, shard: Shard | None, boxes: BoxSource | None, reading: Reading) -> list[FileInput]:
    """Return the inputs of the shard; all of them without one.

    Args:
        manifest: its columns boxes (a file), boxes_from (a label map), box or box_mm (typed, semicolons between),
            window, modality, series and volume mean what the options of these names do; paths are joined to its folder.
        shard: whose names are wanted; None for all.
        boxes: where the boxes of rows are that name none; None where each row has to.
        reading: what holds where a row says nothing.

    Raises:
        UsageError: a line makes no sense, or has no boxes.

    """
    return [input_of(row, manifest, boxes, reading) for row in read_manifest(manifest, COLUMNS, shard, result_name)]


def result_name(image: str) -> str:
    """Return what the label map of an image is called, but for the ending that depends on its kind."""
    return name_of(Path(image))


def input_of(row: ManifestRow, manifest: Path, boxes: BoxSource | None, reading: Reading) -> FileInput:
    """Raise UsageError as `listed_inputs`."""
    if row.output and ending_of(Path(row.output)) not in OUTPUTS:
        raise UsageError(
            f"{manifest}, line {row.line}: output is {row.output}; label maps are written as {', '.join(OUTPUTS)}"
        )
    return FileInput(row.image, boxes_of(row, manifest, boxes), reading_of(row, manifest, reading), row.output)


def boxes_of(row: ManifestRow, manifest: Path, otherwise: BoxSource | None) -> BoxSource:
    """Raise UsageError where the row names no boxes and nothing else does, or some in two ways."""
    given = [name for name in BOXES if name in row.options]
    if not given and otherwise is not None:
        return otherwise
    if len(given) != 1:
        names = ", ".join(BOXES)
        what = f"{given[0]} and {given[1]} are given, and one of them is needed" if given else f"{names}: all are empty"
        raise UsageError(f"{manifest}, line {row.line}: {what}")
    value = row.options[given[0]]
    if given[0] in ("boxes", "boxes_from"):
        path = manifest.parent / value
        return BoxSource(file=path) if given[0] == "boxes" else BoxSource(labels=path)
    parse = parse_box if given[0] == "box" else parse_box_mm
    texts = [text for text in value.split(BETWEEN) if text.strip()]
    if not texts:
        raise UsageError(f"{manifest}, line {row.line}: {given[0]} is {value}, and boxes are needed")
    return BoxSource(typed=tuple(in_line(manifest, row.line, partial(parse, text)) for text in texts))


def reading_of(row: ManifestRow, manifest: Path, otherwise: Reading) -> Reading:
    """Raise UsageError where a value makes no sense."""
    own = {name: row.options[name] for name in READING if name in row.options}
    made = in_line(manifest, row.line, partial(parse_reading, own))
    return replace(otherwise, **{name: getattr(made, name) for name in own})


def parse_reading(own: Mapping[str, str]) -> Reading:
    volume = own.get("volume")
    if volume is not None and not (volume.isascii() and volume.isdecimal()):
        raise UsageError(f"volume is {volume}; a number from 0 is needed")
    number = None if volume is None else int(volume)
    return make_reading(own.get("window"), own.get("modality"), own.get("series"), number)


def in_line(manifest: Path, line: int, make: Callable[[], Made]) -> Made:
    """Return what is made of a line. Raise UsageError that names it where making does."""
    try:
        return make()
    except UsageError as error:
        raise UsageError(f"{manifest}, line {line}: {error}") from error
