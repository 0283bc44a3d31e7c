"""What a machine does to a run: signals at any moment, full disks, closed streams, odd things where outputs go."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz import good
from tests.fuzz.program import CLOSED, Program
from tests.fuzz.promises import of_output
from tests.fuzz.trial import Outcome

References = Mapping[str, bytes]
Fault = Callable[[random.Random, Path, References], Iterator[str]]

CASES = {**{f"2D_{i}.npz": "npz 2D" for i in range(6)}, **{f"3D_{i}.npz": "npz 3D" for i in range(2)}}
PREDICT = ("predict", "-i", "in", "-o", "out")
ENDED_BY = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
REPORTS = ("report.json", "efficiency.csv")


def killed(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """`kill -9` at any moment, twice; `--resume` makes it whole."""
    for _ in range(2):
        program = Program(folder, [*PREDICT, "--resume"])
        moment(dice, program, folder)
        program.send(signal.SIGKILL)
        program.wait()
    yield from resumed(folder, references)


def stopped(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """SIGTERM, SIGINT or SIGHUP while cases are done: reports are written; `--resume` makes it whole."""
    which = dice.choice(ENDED_BY)
    program = Program(folder, PREDICT)
    program.wait_for(folder / "out" / dice.choice(list(CASES)[:4]))
    time.sleep(dice.random() * 0.2)
    program.send(which)
    outcome = program.wait()
    yield from messages(outcome)
    if outcome.code not in (0, 128 + which):
        yield f"exit code: {outcome.code} after {which.name}; {outcome.err[-200:]!r}"
    yield from (f"{which.name}: {name} is missing" for name in REPORTS if not (folder / "out" / name).is_file())
    yield from (f"{which.name}: left behind: {path.name}" for path in (folder / "out").glob(".*.part"))
    yield from resumed(folder, references)


def stopped_early(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """The same at any moment after the interpreter's own start."""
    which = dice.choice(ENDED_BY)
    program = Program(folder, PREDICT)
    moment(dice, program, folder)
    program.send(which)
    outcome = program.wait()
    if outcome.code != -which and (b"KeyboardInterrupt" not in outcome.err or (folder / "out").exists()):
        yield from messages(outcome)
    if outcome.code not in (0, 128 + which, -which):
        yield f"exit code: {outcome.code} after {which.name}; {outcome.err[-200:]!r}"
    yield from resumed(folder, references)


def full_disk(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """Outputs on a disk that is full after a few KiB; or, where none can be mounted, files that may not be larger."""
    size = dice.choice((4, 8, 12, 16, 32))
    with small_disk(folder / "out", size) as mounted:
        limits = "" if mounted else f"-f {dice.choice((0, 1, 2))}"
        outcome = Program(folder, PREDICT, limits=limits).wait()
        yield from messages(outcome)
        if outcome.code not in (0, 1):
            yield f"exit code: {outcome.code} on a full disk; {outcome.err[-200:]!r}"
        yield from results(folder, references, missing=True)
        yield from (f"left behind: {path.name}" for path in (folder / "out").glob(".*.part"))


def two_at_once(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """Two runs into the same outputs."""
    way = dice.choice(("--overwrite", "--resume"))
    first = Program(folder, [*PREDICT, way])
    time.sleep(dice.random())
    second = Program(folder, [*PREDICT, way])
    for program in (first, second):
        outcome = program.wait()
        yield from messages(outcome)
        if outcome.code != 0:
            yield f"exit code: {outcome.code} of two runs at once ({way}); {outcome.err[-300:]!r}"
    yield from results(folder, references)


def no_streams(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """Stdout or stderr closed, or on a full disk."""
    streams = {n: dice.choice((CLOSED, "/dev/full")) for n in dice.choice(((1,), (2,), (1, 2)))}
    (folder / "in" / "2D_bad.npz").write_bytes(b"bad")  # something to say on stderr
    outcome = Program(folder, PREDICT, streams=streams).wait()
    yield from messages(outcome)
    if outcome.code != 1:
        yield f"exit code: {outcome.code} with streams {streams}; {outcome.err[-200:]!r}"
    yield from results(folder, references)
    yield from (f"streams {streams}: {name} is missing" for name in REPORTS if not (folder / "out" / name).is_file())


def odd_places(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """A FIFO, device, folder or link where an output goes."""
    canary = folder / "canary"
    canary.write_bytes(b"as it was")
    name = dice.choice((*REPORTS, "2D_0.npz", "3D_1.npz", ""))
    place = folder / "out" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if not name:
        place.rmdir()
        place = folder / "out"
    what = dice.choice(("fifo", "folder", "link", "device", "loop"))
    if what == "fifo":
        os.mkfifo(place)
    elif what == "folder":
        (place / "in it").mkdir(parents=True)
    else:
        place.symlink_to({"link": canary, "device": Path("/dev/full"), "loop": place}[what])
    outcome = Program(folder, [*PREDICT, "--overwrite"]).wait(at_most=60)
    yield from messages(outcome)
    if outcome.code not in (0, 1, 2, 3):
        yield f"exit code: {outcome.code} with a {what} as {name or 'out'}; {outcome.err[-200:]!r}"
    if canary.read_bytes() != b"as it was":
        yield f"touched: what a link as {name or 'out'} leads to"
    if name:
        others = {case: reference for case, reference in CASES.items() if case != name}
        yield from results(folder, references, of=others)


def read_only(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """A folder of outputs that cannot be written to: one line, exit code 3."""
    with small_disk(folder / "out", 64, "ro") as mounted:
        if not mounted:
            (folder / "out").chmod(0o555)
            if os.getuid() == 0:
                return
        outcome = Program(folder, PREDICT).wait()
    yield from messages(outcome)
    if outcome.code != 3 or len(outcome.err.splitlines()) != 1:
        yield f"exit code: {outcome.code} with outputs that are read-only; {outcome.err[-300:]!r}"


def little_memory(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """A limit of address space: all is well, or one line says it."""
    most = dice.randrange(300, 2500)  # MiB
    outcome = Program(folder, PREDICT, limits=f"-v {most << 10}").wait()
    yield from messages(outcome)
    if outcome.code not in (0, 1, 3):
        yield f"exit code: {outcome.code} with {most} MiB; {outcome.err[-300:]!r}"
    elif outcome.code == 3 and len(outcome.err.splitlines()) != 1:
        yield f"one line: {len(outcome.err.splitlines())} lines with {most} MiB: {outcome.err[-300:]!r}"
    yield from results(folder, references, missing=outcome.code != 0)


def shifting(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """Inputs or outputs that vanish while cases are done."""
    program = Program(folder, PREDICT)
    program.wait_for(folder / "out" / "2D_1.npz")
    what = dice.choice(("input gone", "input cut", "output folder gone"))
    if what == "input gone":
        (folder / "in" / "3D_1.npz").unlink(missing_ok=True)
    elif what == "input cut":
        os.truncate(folder / "in" / "3D_1.npz", 50)
    else:
        shutil.rmtree(folder / "out", ignore_errors=True)
    outcome = program.wait()
    yield from messages(outcome)
    if outcome.code not in (0, 1):
        yield f"exit code: {outcome.code} with {what}; {outcome.err[-200:]!r}"
    if what != "output folder gone":
        others = {case: reference for case, reference in CASES.items() if case != "3D_1.npz"}
        yield from results(folder, references, of=others)


def poor_locale(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """Streams that cannot show all characters."""
    character = dice.choice(("é", "\u8089", "\U0001f9e0"))
    name = f"2D_{character}.npz"
    (folder / "in" / name).write_bytes(dice.choice((b"bad", good.npz())))
    encoding = dice.choice(
        ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    )
    outcome = Program(folder, PREDICT, environment=encoding).wait()
    yield from messages(outcome)
    yield from results(folder, references)


FAULTS: Mapping[str, Fault] = {
    "killed": killed,
    "stopped": stopped,
    "stopped-early": stopped_early,
    "full-disk": full_disk,
    "two-at-once": two_at_once,
    "no-streams": no_streams,
    "odd-places": odd_places,
    "read-only": read_only,
    "little-memory": little_memory,
    "shifting": shifting,
    "poor-locale": poor_locale,
}


def furnish(folder: Path) -> None:
    """Put the cases there."""
    (folder / "in").mkdir(parents=True)
    for name in CASES:
        (folder / "in" / name).write_bytes(good.npz(is_volume=name.startswith("3D")))


def moment(dice: random.Random, program: Program, folder: Path) -> None:
    """Wait for a random moment of a run: while it starts, or while cases are done."""
    if dice.random() < 0.6:
        program.wait_for(folder / "out" / dice.choice(list(CASES)))
        time.sleep(dice.random() * 0.1)
    else:
        time.sleep(dice.uniform(0.3, 2.5))


def messages(outcome: Outcome) -> Iterator[str]:
    if outcome.code is None:
        yield f"time: no end after {outcome.seconds:.0f} s"
    elif outcome.code < 0:
        yield f"died: by signal {-outcome.code}; {outcome.err[-300:]!r}"
    yield from of_output(outcome.out, outcome.err, outcome.code, len(CASES))


def results(
    folder: Path, references: References, *, missing: bool = False, of: Mapping[str, str] = CASES
) -> Iterator[str]:
    """Every result is whole; all are there, or with `missing` some."""
    for name, reference in of.items():
        path = folder / "out" / name
        if not path.is_file():
            if not missing:
                yield f"good case: {name} is not there"
        elif path.read_bytes() != references[reference]:
            yield f"good case: {name} is torn or another"


def resumed(folder: Path, references: References) -> Iterator[str]:
    """After --resume all cases are there, once, and nothing else."""
    outcome = Program(folder, [*PREDICT, "--resume"]).wait()
    yield from messages(outcome)
    if outcome.code != 0:
        yield f"exit code: {outcome.code} of --resume; {outcome.err[-300:]!r}"
        return
    yield from results(folder, references)
    present = {path.name for path in (folder / "out").iterdir()}
    if present != {*CASES, *REPORTS}:
        yield f"left behind: {sorted(present ^ {*CASES, *REPORTS})} after --resume"
        return
    cases = [case["case"] for case in json.loads((folder / "out" / "report.json").read_bytes())["cases"]]
    if sorted(cases) != sorted(CASES):
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
