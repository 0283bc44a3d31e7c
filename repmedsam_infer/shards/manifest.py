"""A manifest: cases and what to do with each, as a table (CSV) or as lines of JSON, instead of a folder's listing."""

import csv
import io
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TextIO

from repmedsam_infer.errors import UsageError
from repmedsam_infer.shards.shard import Shard
from repmedsam_infer.system.regular import may_be_path, open_regular

IMAGE, OUTPUT, GTS = "image", "output", "gts"
BOXES = ("boxes", "boxes_from", "box", "box_mm")
READING = ("window", "modality", "series", "volume")
PATHS = ("boxes", "boxes_from", GTS)  # that are paths
COLUMNS = (*BOXES, *READING, GTS)  # beside image and output
LEFT_ALONE = "_"  # begins the name of a column that is the user's own
MOST_CHARACTERS = 100_000  # of a line, against files that are no manifest
Rows = Iterator[tuple[int, dict[str, str]]]


@dataclass(frozen=True)
class ManifestRow:
    """One case.

    line: of the manifest, from 1.
    image: absolute, or joined to the manifest's folder.
    output: where its label map goes in the folder of results, with slashes; empty for what its kind has by default.
    options: values of the other columns, those that are not empty; paths are as they are written.
    """

    line: int
    image: Path
    output: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the case is called: where its label map goes; by default the image's own name."""
        return self.output or self.image.name


def find_listed(path: Path, shard: Shard | None) -> list[ManifestRow]:
    """Return the rows of a manifest of npz cases that are in the shard; all rows without one.

    Raises:
        UsageError: as `read_manifest`, or a result would not be called .npz.

    """
    rows = list(read_manifest(path, [GTS], shard))
    odd = next((row for row in rows if not row.name.endswith(".npz")), None)
    if odd is not None:
        what = OUTPUT if odd.output else IMAGE
        raise UsageError(f"{path}, line {odd.line}: {what} is {odd.name}; npz cases and their label maps end with .npz")
    return rows


def read_manifest(
    path: Path, columns: Collection[str], shard: Shard | None, result_of: Callable[[str], str] = str
) -> Iterator[ManifestRow]:
    """Return the rows whose cases are in the shard, in their order; all rows without one.

    Args:
        path: the manifest, UTF-8.
        columns: those that may be there beside image and output.
        shard: None for all.
        result_of: what the label map of an image of that name is called where no output is given.

    Raises:
        UsageError: it cannot be read, has no row, gives two results one name, or a line of the shard makes no sense.

    """
    known = (IMAGE, OUTPUT, *columns)
    lines: dict[int, int] = {}  # by hash of the result's name: of a million names less than half of the names' memory
    named: bool | None = None
    for number, (line, values) in enumerate(read_rows(path)):
        output = values.get(OUTPUT, "")
        if bool(output) is not (named if named is not None else bool(output)):
            raise UsageError(f"{path}, line {line}: {OUTPUT} is given in some lines and not in others: give it in all")
        named = bool(output)
        result = str(PurePosixPath(output)) if output else result_of(PurePath(values.get(IMAGE, "")).name)
        other = lines.setdefault(hash(os.path.normcase(result)), line)
        if other != line:
            raise UsageError(
                f"{path}, line {line}: the result {result} is that of line {other}, too: give each an {OUTPUT} of its "
                "own"
            )
        if shard is None or shard.holds_row(number):
            yield make_row(path, line, values, known)
    if not lines:
        raise UsageError(f"the manifest {path} lists no case")


def make_row(path: Path, line: int, values: Mapping[str, str], known: Collection[str]) -> ManifestRow:
    """Raise UsageError where the values make no row."""
    odd = next((key for key in values if key not in known and not key.startswith(LEFT_ALONE)), None)
    if odd is not None:
        raise UsageError(
            f"{path}, line {line}: there is no column {odd!r} here; {', '.join(known)} are known, and columns that "
            f"begin with {LEFT_ALONE} are left alone"
        )
    for key in known:
        if not may_be_path(values.get(key, "")):
            raise UsageError(f"{path}, line {line}: {key} has characters that no path can have")
    if not values.get(IMAGE):
        raise UsageError(f"{path}, line {line}: {IMAGE} is missing")
    output = values.get(OUTPUT, "")
    if output and not is_inside(output):
        raise UsageError(
            f"{path}, line {line}: {OUTPUT} is {output}; a path in the folder of results is needed, with slashes, "
            "without .. and not absolute"
        )
    options = {key: value for key, value in values.items() if key in known and key not in (IMAGE, OUTPUT) and value}
    output = str(PurePosixPath(output)) if output else ""
    return ManifestRow(line, path.parent / values[IMAGE], output, options)


def check_reads_none_of(path: Path, written: Collection[Path]) -> None:
    """Check that no line, also of other shards, reads what is going to be written; nor that the manifest is that.

    Raises:
        UsageError: one does.

    """
    names = {place.name for place in written}
    real = {os.path.realpath(place) for place in written}

    def check(read: Path) -> None:
        if read.name in names and os.path.realpath(read) in real:
            raise UsageError(f"the result would replace {read}, which is read; name another output")

    check(path)
    for _, values in read_rows(path):
        for key in (IMAGE, *PATHS):
            value = values.get(key, "")
            if value.rpartition("/")[2] in names and may_be_path(value):
                check(path.parent / value)


def is_inside(output: str) -> bool:
    """Whether a path written with slashes stays in the folder that it is joined to, on every system."""
    parts = PurePosixPath(output).parts
    odd = "\\" in output or ":" in output
    return bool(parts) and not odd and ".." not in parts and not output.startswith("/") and not output.endswith("/")


def read_rows(path: Path) -> Rows:
    """Return lines by number, with values as text. Raise UsageError as `read_manifest`."""
    try:
        with open_regular(path) as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
            yield from (table_rows if path.suffix.lower() == ".csv" else json_rows)(path, text)
    except FileNotFoundError as error:
        raise UsageError(f"the manifest {path} does not exist") from error
    except OSError as error:
        raise UsageError(f"the manifest {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the manifest {path} is not text in UTF-8") from error


def table_rows(path: Path, text: TextIO) -> Rows:
    """Of CSV with a line of names first. Raise UsageError as `read_manifest`."""
    rows = csv.reader(lines_of(path, text))
    try:
        names = [name.strip() for name in next(rows, [])]
        if IMAGE not in names or len(set(names)) != len(names):
            raise UsageError(
                f"{path}: the first line names the columns, each once, with commas between: {IMAGE},{OUTPUT}"
            )
        for row in rows:
            if not any(map(str.strip, row)):
                continue
            if len(row) != len(names):
                raise UsageError(f"{path}, line {rows.line_num}: has {len(row)} cells, and the first line {len(names)}")
            yield rows.line_num, dict(zip(names, map(str.strip, row), strict=True))
    except csv.Error as error:
        raise UsageError(f"{path}, line {rows.line_num}: is no line of a table ({error})") from error


def json_rows(path: Path, text: TextIO) -> Rows:
    """Of one JSON object a line. Raise UsageError as `read_manifest`."""
    for line, content in enumerate(lines_of(path, text), 1):
        if not content.strip():
            continue
        try:
            values = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}, line {line}: is not JSON ({error})") from error
        if not isinstance(values, dict):
            raise UsageError(f'{path}, line {line}: an object is needed, as {{"{IMAGE}": "a.npz"}}')
        yield line, {key: json_text(path, line, key, value) for key, value in values.items()}


def json_text(path: Path, line: int, key: str, value: Any) -> str:
    """Return a value as a table would hold it: lists with semicolons between."""
    if key.startswith(LEFT_ALONE) or value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ";".join(value)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value).strip()
    raise UsageError(f"{path}, line {line}: {key} is {value!r}; text is needed, or a list of texts")


def lines_of(path: Path, text: TextIO) -> Iterator[str]:
    """Return lines, none of them longer than a manifest's. Raise UsageError where one is."""
    for number, content in enumerate(iter(partial(text.readline, MOST_CHARACTERS + 1), ""), 1):
        if len(content) > MOST_CHARACTERS:
            raise UsageError(f"{path}, line {number}: has more than {MOST_CHARACTERS} characters")
        yield content
