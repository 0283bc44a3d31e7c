"""One box of a file, checked: what all kinds of files of boxes have in common."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import MAX_BOXES, format_box
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.advice import listed, ordered
from repmedsam_infer.formats.endings import name_of

F64 = NDArray[np.float64]

MAX_NAME = 200  # characters
MOST_NAMED = 8  # cases or kinds in a message
FARTHEST = 1e15  # of a coordinate: beyond any image, and far enough from where arithmetic overflows
SPACES = ("pixel", "mm")
CORNERS = {4: ("x_min", "y_min", "x_max", "y_max"), 6: ("x_min", "y_min", "z_min", "x_max", "y_max", "z_max")}


@dataclass(frozen=True)
class Entry:
    """One box as the file has it.

    where: what messages call it.
    box: (4,) on a picture, (6,) on a volume.
    space: pixel or mm; or voxels, those that a shape in mm was found to lie on.
    open_ended: it lies on one slice of a volume, and how far its object goes on from there is to be found.
    """

    where: str
    box: F64
    name: str
    space: str
    open_ended: bool = False


def make_entry(
    file: str, where: str, row: Sequence[Any], name: str, space: str, numbers: int, on_slice: float | None = None
) -> Entry:
    """Return a box of as many numbers as the image needs.

    Args:
        file: for messages.
        where: what they call the box.
        row: its numbers.
        name: what the object is called, or an empty string.
        space: pixel or mm.
        numbers: 4 on a picture, 6 on a volume.
        on_slice: on a volume, the slice of a box of four numbers.

    Raises:
        CaseReadError: it is no box, or its name cannot be printed.

    """
    if on_slice is not None:
        if numbers == 4:
            raise CaseReadError(f"{file}: {where} names a slice, and the image is a picture")
        if space == "mm":
            raise CaseReadError(f"{file}: {where} is in mm and names a slice, which is an index; give z in mm instead")
        if len(row) != 4:
            raise CaseReadError(
                f"{file}: {where} names a slice and has {len(row)} numbers; four belong to it ({', '.join(CORNERS[4])})"
            )
        row = on_one_slice(row, on_slice)
    if len(row) != numbers:
        kind = "a picture" if numbers == 4 else "a volume"
        hint = ", or four and a slice" if numbers == 6 and len(row) == 4 else ""
        raise CaseReadError(
            f"{file}: {where} has {len(row)} numbers; a box on {kind} has {numbers} "
            f"({', '.join(CORNERS[numbers])}){hint}"
        )
    try:
        box = np.array([float(value) for value in row], np.float64)
    except OverflowError:
        box = np.array([math.inf])
    if not (np.abs(box) <= FARTHEST).all():
        raise CaseReadError(f"{file}: {where} is not finite, or beyond any image")
    low, high = box[: numbers // 2], box[numbers // 2 :]
    if (low > high).any():
        order = ", ".join(CORNERS[numbers])
        raise CaseReadError(
            f"{file}: {where} {format_box(box)} ends before it begins (order: {order}): {ordered(box, listed)}"
        )
    if len(name) > MAX_NAME or not all(character.isprintable() for character in name):
        raise CaseReadError(f"{file}: the name of {where} is longer than {MAX_NAME} or not printable")
    return Entry(where, box, name.strip(), space, on_slice is not None)


def check_count(file: str, count: int) -> None:
    """Raise CaseReadError where there are more boxes than labels, before time and memory are taken for them."""
    if count > MAX_BOXES:
        raise CaseReadError(f"{file}: {count} boxes; at most {MAX_BOXES} can be labelled")


def on_one_slice(row: Sequence[float], z: float) -> list[float]:
    """(4,) numbers of a box on slice z of a volume -> the six of a box of that slice alone."""
    return [*row[:2], z, *row[2:], z]


@lru_cache(maxsize=1024)  # a table has the same name in row after row
def is_case(name: str, case_name: str) -> bool:
    """Whether `name` is that of the case: it may be called by its file's name, or by that without its ending.

    Folders before it do not count, and may be written as on Windows.
    """
    return name_of(Path(name.replace("\\", "/"))) == name_of(Path(case_name))


def nothing_for(file: str, case_name: str, others: Iterable[str]) -> CaseReadError:
    """Return the error of a file that has boxes, but of other cases."""
    named = list(others)
    found = ", ".join(name[:40] for name in named[:MOST_NAMED]) + (", ..." if len(named) > MOST_NAMED else "")
    return CaseReadError(f"{file}: has no boxes for {case_name} (it has some for: {found or 'nothing'})")


def check_space(file: str, value: Any, where: str) -> str:
    """Return the space that a file names. Raises CaseReadError where it is none."""
    if value not in SPACES:
        raise CaseReadError(f"{file}: the space of {where} is {str(value)[:40]!r}; 'pixel' or 'mm' is needed")
    return str(value)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numbers_of(value: Any, *counts: int) -> list[float] | None:
    """Return the numbers of a list of one of these lengths; None where it is none, or they are beyond any image."""
    if not isinstance(value, list) or len(value) not in counts or not all(is_number(number) for number in value):
        return None
    try:
        numbers = [float(number) for number in value]
    except OverflowError:
        return None
    return numbers if all(abs(number) <= FARTHEST for number in numbers) else None


def records_of(file: str, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return a list of objects. Raises CaseReadError where it is none."""
    records = content.get(key)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise CaseReadError(f"{file}: '{key}' is not a list of objects")
    return records


def counted(kinds: Iterable[str]) -> str:
    """Return how many there are of each kind, in a line: 2 line, 1 point."""
    found = [f"{count} {kind[:40]}" for kind, count in Counter(kinds).items()]
    return ", ".join(found[:MOST_NAMED]) + (", ..." if len(found) > MOST_NAMED else "")


def text_of(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def only_keys(file: str, where: str, content: Iterable[str], known: set[str]) -> None:
    """Raise CaseReadError where a key is not among the `known`."""
    odd = [key for key in content if key not in known]
    if odd:
        raise CaseReadError(f"{file}: '{odd[0][:40]}' in {where} is unknown (known: {', '.join(sorted(known))})")
