"""Runs of several cases that faults are done to, and what has to have come of them."""

import json
import random
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import good
from tests.fuzz.program import Program
from tests.fuzz.promises import of_output
from tests.fuzz.trial import Outcome

References = Mapping[str, bytes]
REPORTS = ("report.json", "efficiency.csv")


@dataclass(frozen=True)
class Run:
    """A command line and what comes of it.

    arguments: without the program's name.
    results: files in the folder of outputs, and the reference that each has to be equal to.
    cases: as report.json names them.
    beside: files that lie there as well.
    """

    arguments: tuple[str, ...]
    results: Mapping[str, str]
    cases: tuple[str, ...]
    beside: tuple[str, ...] = (*REPORTS, "labels.csv")

    def without(self, name: str) -> Mapping[str, str]:
        return {result: reference for result, reference in self.results.items() if result != name}


CASES = {**{f"2D_{i}.npz": "npz 2D" for i in range(6)}, **{f"3D_{i}.npz": "npz 3D" for i in range(2)}}
PICTURES, VOLUMES = [f"p{i}" for i in range(5)], [f"v{i}" for i in range(2)]
FILES = (*(f"{name}.png" for name in PICTURES), *(f"{name}.nii" for name in VOLUMES))
PREDICT = Run(("predict", "-i", "in", "-o", "out"), CASES, tuple(CASES))
SEGMENT = Run(
    ("segment", *(f"in/{name}" for name in FILES), "--boxes", "in/boxes.json", "-o", "out"),
    {**{f"{name}.png": "good.png" for name in PICTURES}, **{f"{name}.nii.gz": "good.nii.gz" for name in VOLUMES}},
    FILES,
    (*REPORTS, "labels.csv", *(f"{name}.labels.txt" for name in VOLUMES)),
)


def furnish(folder: Path) -> None:
    """Put the inputs of both there."""
    inputs = folder / "in"
    inputs.mkdir(parents=True)
    for name in CASES:
        (inputs / name).write_bytes(good.npz(is_volume=name.startswith("3D")))
    for name in PICTURES:
        (inputs / f"{name}.png").write_bytes(good.picture(".png"))
    for name in VOLUMES:
        good.nifti(inputs / f"{name}.nii")
    boxes = {**{name: [good.BOX_2D] for name in PICTURES}, **{name: [good.BOX_3D] for name in VOLUMES}}
    (inputs / "boxes.json").write_text(json.dumps({"cases": boxes}))


def moment(dice: random.Random, program: Program, folder: Path, run: Run) -> None:
    """Wait for a random moment of a run: while it starts, or while cases are done."""
    if dice.random() < 0.6:
        program.wait_for(folder / "out" / dice.choice(list(run.results)))
        time.sleep(dice.random() * 0.1)
    else:
        time.sleep(dice.uniform(0.3, 2.5))


def messages(outcome: Outcome) -> Iterator[str]:
    if outcome.code is None:
        yield f"time: no end after {outcome.seconds:.0f} s"
    elif outcome.code < 0:
        yield f"died: by signal {-outcome.code}; {outcome.err[-300:]!r}"
    yield from of_output(outcome.out, outcome.err, outcome.code, len(CASES))


def results(folder: Path, references: References, of: Mapping[str, str], *, missing: bool = False) -> Iterator[str]:
    """Every result is whole; all are there, or with `missing` some."""
    for name, reference in of.items():
        path = folder / "out" / name
        if not path.is_file():
            if not missing:
                yield f"good case: {name} is not there"
        elif path.read_bytes() != references[reference]:
            yield f"good case: {name} is torn or another"


def resumed(folder: Path, references: References, run: Run, options: Sequence[str] = ()) -> Iterator[str]:
    """After --resume all cases are there, once, and nothing else."""
    outcome = Program(folder, [*run.arguments, "--resume", *options]).wait()
    yield from messages(outcome)
    if outcome.code != 0:
        yield f"exit code: {outcome.code} of --resume; {outcome.err[-300:]!r}"
        return
    yield from results(folder, references, run.results)
    present = {path.name for path in (folder / "out").iterdir()}
    if present != {*run.results, *run.beside}:
        yield f"left behind: {sorted(present ^ {*run.results, *run.beside})} after --resume"
        return
    cases = [case["case"] for case in json.loads((folder / "out" / "report.json").read_bytes())["cases"]]
    if sorted(cases) != sorted(run.cases):
        yield f"report: report.json has {cases} after --resume"


@contextmanager
def small_disk(place: Path, kibibytes: int, options: str = "rw") -> Iterator[bool]:
    """A disk of that size at `place`; False where none can be mounted (that takes root, and not every container)."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k,{options}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=False)
