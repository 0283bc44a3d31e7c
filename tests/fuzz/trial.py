"""A trial: a folder with what a user could bring, and the command line that is run in it."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

INPUTS, OUTPUTS = "in", "out"


@dataclass
class Trial:
    """What is run in `folder`, and what has to come of it.

    arguments: of the command, without the program's name; paths are relative to the folder.
    hostile: inputs that may be left out one by one, to see which of them it was; relative to the folder.
    good: results that have to be there and equal those of the same inputs among themselves, by name of the reference.
    writable: what the command may make, change or remove; relative to the folder.
    codes: exit codes that can be.
    reported: whether out/report.json has to have each input once.
    """

    folder: Path
    arguments: list[str]
    hostile: list[str] = field(default_factory=list)
    good: Mapping[str, str] = field(default_factory=dict)
    writable: tuple[str, ...] = (OUTPUTS,)
    codes: frozenset[int] = frozenset({0, 1})
    reported: bool = True

    def keep_only(self, path: str) -> None:
        """Leave one hostile input, remove the others."""
        for other in self.hostile:
            if other != path:
                (self.folder / other).unlink(missing_ok=True)
                self.arguments = [argument for argument in self.arguments if argument != other]
        self.hostile = [path]


Maker = Callable[[random.Random, Path], Trial]


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    code: its exit code, negative where a signal ended it; None where it did not end in time.
    seconds, processor: wall and processor time.
    memory: bytes that the process grew by at its peak.
    events: what it did to files outside what it may write, and other things that it has no business with.
    """

    code: int | None
    out: bytes
    err: bytes
    seconds: float
    processor: float = 0.0
    memory: int = 0
    events: tuple[str, ...] = ()
    stack: str = ""


def dice(seed: int, kind: str, number: int) -> random.Random:
    """Return the source of chance of one trial: it depends on nothing that ran before."""
    return random.Random(f"{seed}/{kind}/{number}")
