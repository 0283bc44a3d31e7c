"""What a machine does to a run: signals at any moment, full disks, closed streams, odd things where outputs go."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.fuzz import good
from tests.fuzz.program import CLOSED, Program
from tests.fuzz.runs import (
    PREDICT,
    REPORTS,
    SEGMENT,
    References,
    Run,
    messages,
    moment,
    results,
    resumed,
    small_disk,
)

Fault = Callable[[random.Random, Path, References], Iterator[str]]

ENDED_BY = ("SIGTERM", "SIGINT", "SIGHUP")  # not every system has them all


def some_run(dice: random.Random) -> Run:
    return dice.choice((PREDICT, SEGMENT))


def killed(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """`kill -9` at any moment, twice; `--resume` makes it whole."""
    run, options = some_run(dice), dice.choice(((), ("--jobs", "2")))
    for _ in range(2):
        program = Program(folder, [*run.arguments, "--resume", *options])
        moment(dice, program, folder, run)
        program.send(signal.SIGKILL)
        program.wait()
    yield from resumed(folder, references, run, options)


def stopped(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """SIGTERM, SIGINT or SIGHUP while cases are done: reports are written; `--resume` makes it whole."""
    run, which = some_run(dice), signal.Signals[dice.choice(ENDED_BY)]
    program = Program(folder, run.arguments)
    program.wait_for(folder / "out" / dice.choice(list(run.results)[:4]))
    time.sleep(dice.random() * 0.2)
    program.send(which)
    outcome = program.wait()
    yield from messages(outcome)
    if outcome.code not in (0, 128 + which):
        yield f"exit code: {outcome.code} after {which.name}; {outcome.err[-200:]!r}"
    yield from (f"{which.name}: {name} is missing" for name in REPORTS if not (folder / "out" / name).is_file())
    yield from (f"{which.name}: left behind: {path.name}" for path in (folder / "out").glob(".*.part"))
    yield from resumed(folder, references, run)


def stopped_early(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """The same at any moment after the interpreter's own start."""
    run, which = some_run(dice), signal.Signals[dice.choice(ENDED_BY)]
    program = Program(folder, run.arguments)
    moment(dice, program, folder, run)
    program.send(which)
    outcome = program.wait()
    if outcome.code != -which and (b"KeyboardInterrupt" not in outcome.err or (folder / "out").exists()):
        yield from messages(outcome)
    if outcome.code not in (0, 128 + which, -which):
        yield f"exit code: {outcome.code} after {which.name}; {outcome.err[-200:]!r}"
    yield from resumed(folder, references, run)


def full_disk(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """Outputs on a disk that is full after a few KiB; or, where none can be mounted, files that may not be larger."""
    run, size = some_run(dice), dice.choice((4, 8, 12, 16, 32))
    with small_disk(folder / "out", size) as mounted:
        limits = "" if mounted else f"-f {dice.choice((0, 1, 2))}"
        outcome = Program(folder, run.arguments, limits=limits).wait()
        yield from messages(outcome)
        if outcome.code not in (0, 1):
            yield f"exit code: {outcome.code} on a full disk; {outcome.err[-200:]!r}"
        yield from results(folder, references, run.results, missing=True)
        yield from (f"left behind: {path.name}" for path in (folder / "out").glob(".*.part"))


def two_at_once(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """Two runs into the same outputs."""
    run, way = some_run(dice), dice.choice(("--overwrite", "--resume"))
    first = Program(folder, [*run.arguments, way])
    time.sleep(dice.random())
    second = Program(folder, [*run.arguments, way])
    for program in (first, second):
        outcome = program.wait()
        yield from messages(outcome)
        if outcome.code != 0:
            yield f"exit code: {outcome.code} of two runs at once ({way}); {outcome.err[-300:]!r}"
    yield from results(folder, references, run.results)


def no_streams(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """Stdout or stderr closed, or on a full disk."""
    streams = {n: dice.choice((CLOSED, "/dev/full")) for n in dice.choice(((1,), (2,), (1, 2)))}
    run = some_run(dice)
    (folder / "in" / dice.choice(list(run.cases))).write_bytes(b"bad")  # something to say on stderr
    outcome = Program(folder, run.arguments, streams=streams).wait()
    yield from messages(outcome)
    if outcome.code != 1:
        yield f"exit code: {outcome.code} with streams {streams}; {outcome.err[-200:]!r}"
    yield from results(folder, references, run.results, missing=True)
    if len([name for name in run.results if (folder / "out" / name).is_file()]) != len(run.results) - 1:
        yield f"good case: not all are there with streams {streams}"
    yield from (f"streams {streams}: {name} is missing" for name in REPORTS if not (folder / "out" / name).is_file())


def odd_places(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """A FIFO, device, folder or link where an output goes."""
    canary = folder / "canary"
    canary.write_bytes(b"as it was")
    run = some_run(dice)
    name = dice.choice((*run.beside, *run.results, ""))
    place = folder / "out" / name if name else folder / "out"
    place.parent.mkdir(exist_ok=True)
    what = dice.choice(("fifo", "folder", "link", "device", "loop"))
    if what == "fifo":
        os.mkfifo(place)
    elif what == "folder":
        (place / "in it").mkdir(parents=True)
    else:
        place.symlink_to({"link": canary, "device": Path("/dev/full"), "loop": place}[what])
    outcome = Program(folder, [*run.arguments, "--overwrite"]).wait(at_most=60)
    yield from messages(outcome)
    if outcome.code not in (0, 1, 2, 3):
        yield f"exit code: {outcome.code} with a {what} as {name or 'out'}; {outcome.err[-200:]!r}"
    if canary.read_bytes() != b"as it was":
        yield f"touched: what a link as {name or 'out'} leads to"
    if name:
        yield from results(folder, references, run.without(name))


def read_only(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """A folder of outputs that cannot be written to: one line, exit code 3."""
    with small_disk(folder / "out", 64, "ro") as mounted:
        if not mounted:
            (folder / "out").chmod(0o555)
            if os.getuid() == 0:
                return
        outcome = Program(folder, some_run(dice).arguments).wait()
    yield from messages(outcome)
    if outcome.code != 3 or len(outcome.err.splitlines()) != 1:
        yield f"exit code: {outcome.code} with outputs that are read-only; {outcome.err[-300:]!r}"


def little_memory(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """A limit of address space: all is well, or one line says it."""
    run, most = some_run(dice), dice.randrange(300, 2500)  # MiB
    outcome = Program(folder, run.arguments, limits=f"-v {most << 10}").wait()
    yield from messages(outcome)
    if outcome.code not in (0, 1, 3):
        yield f"exit code: {outcome.code} with {most} MiB; {outcome.err[-300:]!r}"
    elif outcome.code == 3 and len(outcome.err.splitlines()) != 1:
        yield f"one line: {len(outcome.err.splitlines())} lines with {most} MiB: {outcome.err[-300:]!r}"
    yield from results(folder, references, run.results, missing=outcome.code != 0)


def shifting(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """Inputs or outputs that vanish while cases are done."""
    program = Program(folder, PREDICT.arguments)
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
        yield from results(folder, references, PREDICT.without("3D_1.npz"))


def poor_locale(dice: random.Random, folder: Path, references: References) -> Iterator[str]:
    """Streams that cannot show all characters."""
    character = dice.choice(("é", "\u8089", "\U0001f9e0"))
    name = f"2D_{character}.npz"
    (folder / "in" / name).write_bytes(dice.choice((b"bad", good.npz())))
    encoding = dice.choice(
        ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    )
    outcome = Program(folder, PREDICT.arguments, environment=encoding).wait()
    yield from messages(outcome)
    yield from results(folder, references, PREDICT.results)


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
