"""What to write instead of a box that makes no sense."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import are_fractions
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]
IN_PLANE = [0, 1, 3, 4]  # of a box of six


def joined(numbers: Iterable[float], separator: str = ",") -> str:
    return separator.join(f"{number:.10g}" for number in numbers)


def listed(box: F64) -> str:
    """Return a box as files have it."""
    return f"[{joined(box.tolist(), ', ')}]"


def ordered(box: F64, write: Callable[[F64], str]) -> str:
    """Return advice on a box that ends before it begins; `write` says how a box is written there."""
    low, high = np.split(box, 2)
    advice = f"write {write(np.concatenate([np.minimum(low, high), np.maximum(low, high)]))}"
    if (high >= 1).all():
        advice += f", or {write(np.concatenate([low, low + high - 1]))} if it is a corner and sizes"
    return advice


def refuse_fractions(what: str, rows: F64, scan: Scan, write: Callable[[F64], str]) -> None:
    """Check that boxes in pixels are no fractions of the image.

    Args:
        what: for messages, what has these boxes.
        rows: (N, 4) or (N, 6) corners.
        scan: the image.
        write: how a box is written there.

    Raises:
        CaseReadError: all of them lie between 0 and 1 in x and y.

    """
    if not len(rows) or not are_fractions(rows[:, IN_PLANE] if rows.shape[1] == 6 else rows):
        return
    sides = np.array(scan.shape[::-1], np.float64)
    low, high = np.split(rows[0], 2)
    scaled = high <= 1  # slices of a volume may be whole numbers
    first = np.where(scaled, np.rint(low * sides), low)
    last = np.where(scaled, np.maximum(np.rint(high * sides) - 1, first), high)
    raise CaseReadError(
        f"{what}: all boxes lie between 0 and 1, as fractions of the image do, and pixels are needed: "
        f"write {write(np.concatenate([first, last]))} for the first"
    )
