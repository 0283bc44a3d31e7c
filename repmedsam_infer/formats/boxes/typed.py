"""Boxes of the command line: --box in pixels, --box-mm in millimetres."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.boxes.advice import joined, ordered
from repmedsam_infer.formats.boxes.entry import CORNERS, FARTHEST, on_one_slice
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]

SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
FOUR, SIX = ",".join(CORNERS[4]), ",".join(CORNERS[6])


@dataclass(frozen=True)
class TypedBox:
    """One box of the command line.

    corners: (4,) or (6,). slice: the z that a box of four is on, where it was named. space: pixel or mm.
    """

    corners: F64
    slice: float | None = None
    space: str = "pixel"

    def written(self, box: F64) -> str:
        """Return another box as it is given in place of this one."""
        if self.space == "mm":
            return f"--box-mm {joined(box.tolist())}"
        if self.slice is None:
            return f"--box {joined(box.tolist())}"
        in_plane = box if len(box) == 4 else box[[0, 1, 3, 4]]
        return f"--box {joined(in_plane.tolist())}@{self.slice:.10g}"


def parse_box(text: str) -> TypedBox:
    """Parse "x_min,y_min,x_max,y_max", that with "@z", or "x_min,y_min,z_min,x_max,y_max,z_max".

    Numbers may be parted by commas, spaces, or both.

    Raises:
        UsageError: it is no box, and what to write instead.

    """
    of_box, at, of_slice = text.partition("@")
    box, z = numbers_in(of_box), numbers_in(of_slice) if at else [0.0]
    if len(box) not in ((4,) if at else CORNERS) or len(z) != 1:
        count = f"{len(box)} numbers" if box else "no numbers" if not of_box.strip() else "not numbers"
        raise UsageError(
            f"--box {shown(text)} has {count}; one of these is needed: --box {FOUR}, on volumes --box {SIX}, or "
            f"--box {FOUR}@z for a box on one slice"
        )
    typed = TypedBox(np.array(box), z[0] if at else None)
    check_order("--box", text, typed)
    low, high = np.split(typed.corners, 2)
    if (low[:2] == high[:2]).all():
        raise UsageError(
            f"--box {shown(text)} is empty (a single point): write two opposite corners, "
            f"--box {joined(low[:2].tolist())},x_max,y_max"
        )
    return typed


def parse_box_mm(text: str) -> TypedBox:
    """Parse "x_min,y_min,z_min,x_max,y_max,z_max", in mm LPS. Raises UsageError as `parse_box`."""
    box = numbers_in(text)
    if len(box) != 6:
        raise UsageError(f"--box-mm {shown(text)} is not six numbers: write --box-mm {SIX}, in mm")
    typed = TypedBox(np.array(box), space="mm")
    check_order("--box-mm", text, typed)
    return typed


def check_order(option: str, text: str, typed: TypedBox) -> None:
    low, high = np.split(typed.corners, 2)
    if (low > high).any():
        order = ",".join(CORNERS[len(typed.corners)])
        advice = ordered(typed.corners, typed.written)
        raise UsageError(f"{option} {shown(text)} ends before it begins (order: {order}): {advice}")


def numbers_in(text: str) -> list[float]:
    """Return the numbers of a text; none where any of them is none, or beyond any image."""
    fields = SEPARATOR.split(text.strip())
    try:
        numbers = [float(field) for field in fields if "_" not in field]  # an underscore is Python's alone
    except ValueError:
        return []
    return numbers if len(numbers) == len(fields) and all(abs(number) <= FARTHEST for number in numbers) else []


def shown(text: str) -> str:
    return repr(text) if not text.strip() or " " in text else text


def in_space_of(scan: Scan, typed: TypedBox) -> F64:
    """Return a box of as many numbers as the scan needs; a volume of one slice takes a picture's.

    Raises:
        CaseReadError: it is of the other kind.

    """
    box = typed.corners
    if typed.slice is not None:
        if not scan.is_volume:
            raise CaseReadError(
                f"{scan.name}: is a picture, and --box names a slice; leave out @{typed.slice:g}: "
                f"write --box {joined(box.tolist())}"
            )
        return np.array(on_one_slice(box.tolist(), typed.slice))
    if scan.is_volume and len(box) == 4 and scan.shape[0] == 1:
        return np.array([*box[:2], 0, *box[2:], 0])
    if len(box) != 2 * len(scan.shape) and typed.space == "pixel":
        kind = "volume" if scan.is_volume else "picture"
        hint = f", or --box {joined(box.tolist())}@z for a box on slice z" if scan.is_volume else ""
        raise CaseReadError(
            f"{scan.name}: is a {kind}, and --box has {len(box)} numbers; "
            f"{','.join(CORNERS[2 * len(scan.shape)])} is needed{hint}"
        )
    return box
