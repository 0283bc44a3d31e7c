"""Which image goes with which masks, and whose they are: by the names of files in two folders, or by a manifest."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from repmedsam_infer.commands.files.listed_files import in_line, parse_reading
from repmedsam_infer.commands.files.reading import Reading
from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.endings import ending_of, name_of
from repmedsam_infer.shards.manifest import IMAGE, ManifestRow, make_row, read_rows

LABELS, GROUP, NAME, PART = "labels", "group", "name", "part"
OF_READING = ("window", "modality", "series", "volume")
COLUMNS = (IMAGE, LABELS, GROUP, NAME, PART, *OF_READING)
PARTS = ("train", "val")
BETWEEN = ";"  # several label maps in one cell
# What data sets put behind an image's name to name its mask; nnU-Net behind the image's.
OF_MASKS = re.compile(r"[_\-. ](masks?|seg|segmentation|labels?|gt|groundtruth|annotation)$", re.IGNORECASE)
FIRST_CHANNEL = "_0000"


@dataclass(frozen=True)
class Pair:
    """One image and its masks.

    labels: one label map, or several whose objects are put together.
    name: what the case is called behind its data set.
    group: the patient, whose cases stay in one part; empty: a group of its own.
    part: train or val where the data set has parts of its own, else empty.
    error: why there is no case of it, known before anything is read; else empty.
    """

    image: Path
    labels: tuple[Path, ...]
    name: str
    reading: Reading
    group: str = ""
    part: str = ""
    error: str = ""


@dataclass(frozen=True)
class Named:
    """Label maps of a folder by the names of images that they can belong to."""

    by_name: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def of(self, image: Path) -> list[Path]:
        """Return those of an image: called as it is, or with a word behind it; best with the very name."""
        name = name_of(image)
        found = self.by_name.get(name) or self.by_name.get(name.removesuffix(FIRST_CHANNEL)) or []
        exact = [path for path in found if name_of(path) == name]
        return exact or found


def pairs_of_folders(images: Path, labels: Path, reading: Reading, group_by: str | None = None) -> list[Pair]:
    """Return a pair for every image of a folder, and one with an error for every label map that belongs to none.

    A label map belongs to the image of its name; a word behind it (_mask, _segmentation, ...) and nnU-Net's _0000
    behind the image's do not count. `images` and `labels` may be one folder: then these words tell masks from images.

    Args:
        images: folder of files, or of folders of one DICOM series each.
        labels: folder of label maps.
        reading: of all images.
        group_by: regular expression; what it finds in an image's name, or what its parentheses hold, is the group.

    Raises:
        UsageError: a folder cannot be read, no image is in it, or `group_by` is no regular expression.

    """
    pattern = compiled(group_by)
    found, named = entries_of(images), Named()
    of_labels = found if images.resolve() == labels.resolve() else entries_of(labels)
    if of_labels is found:
        of_labels = [path for path in found if OF_MASKS.search(name_of(path))]
        masks = set(of_labels)
        found = [path for path in found if path not in masks]
    if not found:
        raise UsageError(f"there are no images in {images}")
    for path in of_labels:
        for name in {name_of(path), OF_MASKS.sub("", name_of(path))}:
            named.by_name[name].append(path)
    pairs = [pair_of(path, named, labels, reading, pattern) for path in found]
    taken = {path for pair in pairs for path in pair.labels}
    return [*pairs, *(without_image(path, images, reading) for path in of_labels if path not in taken)]


def pair_of(image: Path, named: Named, folder: Path, reading: Reading, pattern: re.Pattern[str] | None) -> Pair:
    labels, name = named.of(image), name_of(image)
    error = ""
    if len(labels) != 1:
        what = f"{labels[0].name} and {labels[1].name} are" if labels else "nothing is"
        error = f"{what} called {name} in {folder}; one label map is needed"
    group = ""
    if pattern is not None:
        match = pattern.search(name)
        group = (match[1] if pattern.groups else match[0]) or "" if match else ""
        error = error or ("" if group else f"--group-by finds nothing in {name}")
    return Pair(image, tuple(labels), name, reading, group, error=error)


def without_image(labels: Path, images: Path, reading: Reading) -> Pair:
    return Pair(labels, (), name_of(labels), reading, error=f"no image of that name is in {images}")


def compiled(group_by: str | None) -> re.Pattern[str] | None:
    try:
        return None if group_by is None else re.compile(group_by)
    except re.error as error:
        raise UsageError(f"--group-by {group_by}: is no regular expression ({error})") from error


def entries_of(folder: Path) -> list[Path]:
    """Return images, label maps and folders in a folder, by name; other files and hidden ones are left alone.

    Raises:
        UsageError: there is no such folder, or it cannot be read.

    """
    if not folder.is_dir():
        raise UsageError(f"the folder {folder} does not exist; a manifest (.csv, .jsonl) can stand for two folders")
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        return [path for path in entries if ending_of(path) not in ("", ".npz") or path.is_dir()]
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be read ({error.strerror})") from error


def pairs_of_manifest(manifest: Path, reading: Reading) -> list[Pair]:
    """Return a pair for each line of a table (.csv), or of lines of JSON (.jsonl).

    Columns: image and labels (several with semicolons between, or a pattern as masks/*.png), paths joined to the
    manifest's folder; group; and as needed name, part (train or val), modality, window, series, volume. Those that
    begin with _ are left alone.

    Args:
        manifest: UTF-8; a CSV's first line names the columns.
        reading: what holds where a line says nothing.

    Raises:
        UsageError: it is no such table, group or part is given in some lines only, or a group is in both parts.

    """
    rows = [make_row(manifest, line, values, COLUMNS) for line, values in read_rows(manifest)]
    if not rows:
        raise UsageError(f"the manifest {manifest} lists no image")
    for column in (GROUP, PART):
        lacking = [row.line for row in rows if column not in row.options]
        if lacking and len(lacking) != len(rows):
            refuse(manifest, lacking[0], f"{column} is given in other lines and not in this one: give it in all")
    pairs = [listed_pair(row, manifest, reading) for row in rows]
    part_of: dict[str, str] = {}
    for row, pair in zip(rows, pairs, strict=True):
        if pair.group and part_of.setdefault(pair.group, pair.part) != pair.part:
            refuse(manifest, row.line, f"the group {pair.group} is in both parts; a patient's cases belong into one")
    return pairs


def listed_pair(row: ManifestRow, manifest: Path, reading: Reading) -> Pair:
    own = {column: row.options[column] for column in OF_READING if column in row.options}
    made = in_line(manifest, row.line, lambda: parse_reading(own))
    part = row.options.get(PART, "")
    if part not in ("", *PARTS):
        refuse(manifest, row.line, f"{PART} is {part}; {' or '.join(PARTS)} is needed")
    labels = tuple(split_paths(row.options.get(LABELS, ""), manifest.parent))
    return Pair(
        row.image,
        labels,
        row.options.get(NAME) or name_of(row.image),
        Reading(*(getattr(made if column in own else reading, column) for column in OF_READING)),
        row.options.get(GROUP, ""),
        part,
        ""
        if labels
        else f"no label maps are named by line {row.line} of {manifest.name} ({row.options.get(LABELS, '')})",
    )


def split_paths(cell: str, folder: Path) -> Iterator[Path]:
    """Yield the files of a cell, by name those of a pattern (masks/*.png), joined to `folder`."""
    for one in filter(None, map(str.strip, cell.split(BETWEEN))):
        path = Path(one)
        if "*" not in one:
            yield folder / one
        elif path.anchor:
            yield from sorted(Path(path.anchor).glob(path.relative_to(path.anchor).as_posix()))
        else:  # the folder's own name is no pattern
            yield from sorted(folder.glob(one))


def refuse(manifest: Path, line: int, why: str) -> NoReturn:
    raise UsageError(f"{manifest}, line {line}: {why}")


def check_usable(pair: Pair) -> None:
    """Raise CaseReadError for a pair that names no image and masks that can be read."""
    if pair.error:
        raise CaseReadError(f"{pair.image.name}: {pair.error}")


def own_groups(pairs: Sequence[Pair]) -> bool:
    """Whether nothing says which images are of one patient."""
    return not any(pair.group for pair in pairs)
