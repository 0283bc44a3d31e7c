"""Boxes out of files: JSON, CSV, or the tight boxes of a label map.

JSON: {"space": "pixel", "boxes": [[12, 30, 80, 95], {"box": [5, 5, 9, 9], "name": "liver"}]}, the list alone, or
{"cases": {"name of the case": ...one of the two...}}. CSV: columns x_min, y_min, x_max, y_max, for volumes z_min and
z_max, too, and optionally case, name and space. Space is pixel (the default) or mm:

pixel: indices of the first and the last voxel in the file's own order, the last one included.
mm: LPS millimetres, the faces of a box along the patient's axes. A voxel reaches half a voxel around its centre, so
    the faces of voxels 3 to 5 are at indices 2.5 and 5.5; faces become indices by the inverse of that. In an oblique
    volume the box of voxels is the smallest that holds the eight corners.
"""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import MAX_BOXES, format_box, tight_boxes
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.space import to_voxels
from repmedsam_infer.formats.endings import name_of
from repmedsam_infer.formats.label_grid import on_grid_of, whole_labels
from repmedsam_infer.formats.opening import check_file
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]

MAX_BYTES = 16 << 20
MAX_NAME = 200  # characters
SPACES = ("pixel", "mm")
CORNERS = {4: ("x_min", "y_min", "x_max", "y_max"), 6: ("x_min", "y_min", "z_min", "x_max", "y_max", "z_max")}
CSV_COLUMNS = {"case", "name", "space", *CORNERS[6]}


@dataclass(frozen=True)
class NamedBoxes:
    """Boxes and what they are called.

    corners: float64 (N, 4) or (N, 6), x_min y_min [z_min] x_max y_max [z_max], voxel indices of the scan, ends
        inclusive. From mm they have fractions.
    names: N of them, "object 1" and so on where the file has none.
    """

    corners: F64
    names: list[str]


@dataclass(frozen=True)
class Entry:
    """One box as the file has it; `where` is what messages call it."""

    where: str
    box: F64
    name: str
    space: str


def read_boxes(path: Path, scan: Scan, case_name: str) -> NamedBoxes:
    """Return the boxes of `case_name` in a JSON or CSV file, in voxel indices of `scan`.

    Raises:
        CaseReadError: the file is not what this module's docstring says, has nothing on this case, or a box is
            clearly not in the space that it claims.

    """
    kinds = {".json": read_json, ".csv": read_csv}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise CaseReadError(f"{path.name}: boxes are read from .json and .csv files")
    text = read_text(path)
    numbers = 2 * len(scan.shape)
    entries = kind(path.name, text, case_name, numbers)
    if not entries:
        raise CaseReadError(f"{path.name}: there are no boxes in it for {case_name}")
    if len(entries) > MAX_BOXES:
        raise CaseReadError(f"{path.name}: {len(entries)} boxes; at most {MAX_BOXES} can be labelled")
    corners = [to_voxels(f"{path.name}: {entry.where}", entry.box, entry.space, scan) for entry in entries]
    names = [entry.name or f"object {label}" for label, entry in enumerate(entries, 1)]
    return NamedBoxes(np.stack(corners), names)


def read_text(path: Path) -> str:
    if check_file(path) > MAX_BYTES:
        raise CaseReadError(f"{path.name}: is larger than {MAX_BYTES >> 20} MiB; that is no file of boxes")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaseReadError(
            f"{path.name}: is not a text file in UTF-8 ({error.reason} at byte {error.start})"
        ) from error


def parse_json(file: str, text: str) -> Any:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise CaseReadError(f"{file}: '{Counter(keys).most_common(1)[0][0][:40]}' is there twice")
        return dict(pairs)

    def no_constants(name: str) -> None:
        raise CaseReadError(f"{file}: holds {name}; finite numbers are needed")

    try:
        return json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constants)
    except CaseReadError:  # of the two above: a ValueError, too
        raise
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CaseReadError(f"{file}: is not valid JSON ({reason})") from error


def read_json(file: str, text: str, case_name: str, numbers: int) -> list[Entry]:
    content = parse_json(file, text)
    if isinstance(content, dict) and "cases" in content:
        _only_keys(file, "the file", content, {"cases"})
        content = _of_case(file, content["cases"], case_name)
    if isinstance(content, list):
        content = {"boxes": content}
    if not isinstance(content, dict) or "boxes" not in content:
        example = '{"space": "pixel", "boxes": [...]}'
        raise CaseReadError(f"{file}: a list of boxes or {example} is needed for {case_name}")
    _only_keys(file, "a list of boxes", content, {"space", "boxes"})
    space = _space(file, content.get("space", "pixel"), "the boxes")
    rows = content["boxes"]
    if not isinstance(rows, list):
        raise CaseReadError(f"{file}: 'boxes' is not a list")
    if rows and all(_is_number(value) for value in rows):
        rows = [rows]
    return [_json_box(file, f"box {i}", row, space, numbers) for i, row in enumerate(rows, 1)]


def _json_box(file: str, where: str, row: Any, space: str, numbers: int) -> Entry:
    name = ""
    if isinstance(row, dict):
        _only_keys(file, where, row, {"box", "name"})
        row, name = row.get("box"), row.get("name", "")
    if not isinstance(name, str):
        raise CaseReadError(f"{file}: the name of {where} is not a text")
    if not isinstance(row, list) or not all(_is_number(value) for value in row):
        raise CaseReadError(f"{file}: {where} is not a list of {numbers} numbers ({', '.join(CORNERS[numbers])})")
    return _entry(file, where, row, name, space, numbers)


def _of_case(file: str, cases: Any, case_name: str) -> Any:
    if not isinstance(cases, dict):
        raise CaseReadError(f"{file}: 'cases' is not an object of case names and boxes")
    if case_name in cases:
        return cases[case_name]
    matching = [name for name in cases if _is_case(name, case_name)]
    if len(matching) == 1:
        return cases[matching[0]]
    found = ", ".join(list(cases)[:8]) + (", ..." if len(cases) > 8 else "")
    raise CaseReadError(f"{file}: has no boxes for {case_name} (it has some for: {found or 'nothing'})")


def _is_case(name: str, case_name: str) -> bool:
    """Return a case may be called by its file's name, or by that without its ending."""
    return name_of(Path(name)) == name_of(Path(case_name))


def read_csv(file: str, text: str, case_name: str, numbers: int) -> list[Entry]:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise CaseReadError(f"{file}: is not valid CSV ({error})") from error
    needed = CORNERS[numbers]
    header = _csv_header(file, rows, needed)
    entries: list[Entry] = []
    cases: dict[str, None] = {}
    for line, row in enumerate(rows[1:], 2):
        if not any(value.strip() for value in row):
            continue
        where = f"the box in row {line}"
        if len(row) != len(header):
            raise CaseReadError(f"{file}: row {line} has {len(row)} values; {len(header)} are needed")
        values = {column: value.strip() for column, value in zip(header, row, strict=True)}
        if "case" in values:
            cases[values["case"]] = None
            if not _is_case(values["case"], case_name):
                continue
        if numbers == 4 and (values.get("z_min") or values.get("z_max")):
            raise CaseReadError(f"{file}: {where} has a z, and {case_name} is a picture")
        space = _space(file, values.get("space") or "pixel", where)
        box = [_csv_number(file, where, column, values[column]) for column in needed]
        entries.append(_entry(file, where, box, values.get("name", ""), space, numbers))
    if cases and not entries:
        found = ", ".join(list(cases)[:8]) + (", ..." if len(cases) > 8 else "")
        raise CaseReadError(f"{file}: has no boxes for {case_name} (it has some for: {found})")
    return entries


def _csv_header(file: str, rows: list[list[str]], needed: Sequence[str]) -> list[str]:
    """Return the names of the columns, all of them known."""
    header = [column.strip().lower() for column in rows[0]] if rows else []
    missing = [column for column in needed if column not in header]
    if missing:
        hint = "; columns are parted by commas" if len(header) == 1 and (";" in header[0] or "\t" in header[0]) else ""
        raise CaseReadError(f"{file}: the column {missing[0]} is missing (needed: {', '.join(needed)}){hint}")
    odd = [column for column in header if column not in CSV_COLUMNS or header.count(column) > 1]
    if odd:
        raise CaseReadError(f"{file}: the column '{odd[0]}' is unknown or there twice")
    return header


def _csv_number(file: str, where: str, column: str, value: str) -> float:
    try:
        if "_" in value:  # Python's, nobody else's
            raise ValueError
        return float(value)
    except ValueError:
        raise CaseReadError(f"{file}: {column} of {where} is '{value[:40]}', not a number") from None


def _entry(file: str, where: str, row: list[Any], name: str, space: str, numbers: int) -> Entry:
    if len(row) != numbers:
        kind = "a picture" if numbers == 4 else "a volume"
        raise CaseReadError(
            f"{file}: {where} has {len(row)} numbers; a box on {kind} has {numbers} ({', '.join(CORNERS[numbers])})"
        )
    try:
        box = np.array([float(value) for value in row], np.float64)
    except OverflowError:
        box = np.array([math.inf])
    if not np.isfinite(box).all():
        raise CaseReadError(f"{file}: {where} is not finite")
    low, high = box[: numbers // 2], box[numbers // 2 :]
    if (low > high).any():
        order = ", ".join(CORNERS[numbers])
        raise CaseReadError(f"{file}: {where} {format_box(box)} ends before it begins (order: {order})")
    if len(name) > MAX_NAME or not all(character.isprintable() for character in name):
        raise CaseReadError(f"{file}: the name of {where} is longer than {MAX_NAME} or not printable")
    return Entry(where, box, name.strip(), space)


def boxes_from_labels(path: Path, scan: Scan) -> NamedBoxes:
    """Return the tight box around each label of a label map, in order of labels; called "label 3" and so on.

    Args:
        path: of any format that read_scan reads; or a DICOM SEG, whose segments' names are kept.
        scan: the image that it belongs to. A label map of the same voxels in another order is turned to fit; one that
            is cut out of them is put back.

    Raises:
        CaseReadError: it is no label map, has no labels, or does not lie on the scan's voxels.

    """
    from repmedsam_infer.formats import read_scan
    from repmedsam_infer.formats.dicom.seg_boxes import is_seg, seg_boxes

    if is_seg(path):
        of_segments, names = seg_boxes(path, scan)
        if not of_segments:
            raise CaseReadError(f"{path.name}: there are no voxels in its segments")
        return NamedBoxes(np.array(of_segments, np.float64), names)
    label_map = read_scan(path)
    labels = on_grid_of(scan, label_map, whole_labels(label_map))
    boxes = tight_boxes(labels)
    present = np.flatnonzero(boxes[:, 0] <= boxes[:, labels.ndim])
    if not len(present):
        raise CaseReadError(f"{path.name}: there are no labels in it (0 is background)")
    return NamedBoxes(boxes[present].astype(np.float64), [f"label {i + 1}" for i in present])


def _space(file: str, value: Any, where: str) -> str:
    if value not in SPACES:
        raise CaseReadError(f"{file}: the space of {where} is {str(value)[:40]!r}; 'pixel' or 'mm' is needed")
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _only_keys(file: str, where: str, content: Iterable[str], known: set[str]) -> None:
    odd = [key for key in content if key not in known]
    if odd:
        raise CaseReadError(f"{file}: '{odd[0][:40]}' in {where} is unknown (known: {', '.join(sorted(known))})")
