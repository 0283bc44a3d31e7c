"""Warnings of a case: which object each is about, and how many of a kind are kept."""

import re
from collections.abc import Iterable, Sequence

from repmedsam_infer.errors import printable

MOST_WARNINGS = 20  # lines that are kept of a case
MOST_KINDS = 9
ABOUT_BOX = re.compile(r"box (\d+)\b[^:]*: (.*)", re.DOTALL)
NUMBERS = re.compile(r"[-+]?(?:\d[\d.e+-]*|nan|inf)", re.IGNORECASE)


def by_label(warnings: Iterable[str]) -> dict[int, list[str]]:
    """Return what is said of single boxes, by their labels, without "box 7 [...]:"."""
    found: dict[int, list[str]] = {}
    for warning in warnings:
        about = ABOUT_BOX.match(warning)
        if about:
            found.setdefault(int(about[1]), []).append(printable(about[2]))
    return found


def cut(warnings: Sequence[str]) -> list[str]:
    """Return them as printable lines; where there are many, examples of each kind and how many more there are.

    Warnings that differ in their numbers only are of one kind.
    """
    if len(warnings) <= MOST_WARNINGS:
        return [printable(warning) for warning in warnings]
    kinds: dict[str, list[str]] = {}
    for warning in warnings:
        kinds.setdefault(NUMBERS.sub("#", warning), []).append(warning)
    shown = list(kinds.values())[:MOST_KINDS]
    examples = MOST_WARNINGS // len(shown) - 1
    kept: list[str] = []
    for of_kind in shown:
        kept += [printable(warning) for warning in of_kind[:examples]]
        if len(of_kind) > examples:
            kept.append(f"{len(of_kind) - examples} more warnings of the kind: {printable(of_kind[examples])}")
    others = len(warnings) - sum(map(len, shown))
    return [*kept, f"{others} more warnings of other kinds"] if others else kept
