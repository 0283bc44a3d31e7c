"""Fields of text headers: numbers in them, and what is damaged if they are none."""

import re
from collections.abc import Sequence

from repmedsam_infer.errors import CaseReadError

SHOWN = 80  # characters of a damaged value that a message quotes
# Python would take digits of other scripts, and underscores between them.
NUMBER = re.compile(
    r"[+-]?(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:[eE][+-]?\d{1,5})?|[+-]?(?:nan|inf)", re.ASCII | re.I
)
WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def text_of(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def damaged(name: str, field: str, value: str) -> CaseReadError:
    said = f"{value[:SHOWN]!r} as {field!r}" if value else f"no {field!r}"
    return CaseReadError(f"{name}: its header has {said}: it is damaged")


def number(name: str, field: str, text: str) -> float:
    """Return a number of a field; NaN and infinity are numbers, too.

    Raises:
        CaseReadError: it is none.

    """
    if not NUMBER.fullmatch(text):
        raise damaged(name, field, text)
    return float(text)


def whole(name: str, field: str, text: str) -> int:
    """Return a whole number of a field, of at most 18 digits.

    Raises:
        CaseReadError: it is none.

    """
    if not WHOLE.fullmatch(text):
        raise damaged(name, field, text)
    return int(text)


def check_axes(name: str, text: str, most: int) -> int:
    """Return the number of axes that a header declares, from 1 to `most`.

    Raises:
        CaseReadError: it is another.

    """
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= most):
        raise CaseReadError(f"{name}: its header declares {text[:SHOWN]!r} axes: it is damaged")
    return int(text)


def check_sizes(name: str, sizes: Sequence[int]) -> None:
    """Raise CaseReadError where an axis has no voxel."""
    if min(sizes) < 1:
        raise CaseReadError(f"{name}: its header declares {' x '.join(map(str, sizes))} voxels: it is damaged")
