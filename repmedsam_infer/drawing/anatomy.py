"""Which sides of a slice are the patient's right, left, front, back, head and feet: letters at its edges.

R and L, A and P (anterior, posterior), S and I (superior, inferior); two where an axis runs aslant: AL is to the front
and left. They are for images that state where they lie in the patient, and for no others.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.drawing.label_colours import Color
from repmedsam_infer.drawing.marks import Canvas, Place, Size, draw_text, text_size

Ends = tuple[tuple[str, str], ...]  # of each axis of an image: the letters at its first and at its last index
TOWARDS, AWAY = "LPS", "RAI"  # along the axes of DICOM and ITK
ASLANT = 0.35  # of a direction's length: a part of it that is shorter has no letter (20 degrees)
LEAST_SIDE = 90  # pixels of a picture below which it has no letters
LETTER_SIZE = 0.5
LETTER_COLOR: Color = (255, 226, 138)
EDGE = 3  # pixels between letters and the edge


def ends_of(directions: Iterable[NDArray[np.float64]]) -> Ends:
    """Return letters for axes that run along these (3,) directions, of any length, in LPS."""
    return tuple((letters(-direction), letters(direction)) for direction in directions)


def letters(direction: NDArray[np.float64]) -> str:
    """Where a (3,) direction in LPS points: one letter, or several, the nearest first."""
    unit = direction / np.linalg.norm(direction)
    axes = [axis for axis in np.argsort(-np.abs(unit), kind="stable").tolist() if abs(unit[axis]) >= ASLANT]
    return "".join((TOWARDS if unit[axis] > 0 else AWAY)[axis] for axis in axes)


def places_of_letters(size: Size, across: tuple[str, str], down: tuple[str, str]) -> list[tuple[str, Place]]:
    """Letters at the left, right, upper and lower edge of a picture of this size; none where it is small."""
    if min(size) < LEAST_SIDE:
        return []
    width, height = size
    placed = []
    for text, horizontal, vertical in ((across[0], 0, 1), (across[1], 2, 1), (down[0], 1, 0), (down[1], 1, 2)):
        wide, high = text_size(text, LETTER_SIZE)
        left = (EDGE, (width - wide) // 2, width - wide - EDGE)[horizontal]
        top = (EDGE, (height - high) // 2, height - high - EDGE)[vertical]
        placed.append((text, (left, top, left + wide, top + high)))
    return placed


def draw_letters(canvas: Canvas, placed: list[tuple[str, Place]]) -> None:
    for text, (left, top, _, _) in placed:
        draw_text(canvas, text, (left, top), LETTER_COLOR, LETTER_SIZE)
