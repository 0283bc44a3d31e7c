"""Which precision to take on this machine: each that runs here is measured, in turn, on pictures and on volumes, and
its masks are compared with those in fp32, so that nobody takes one that is fast and wrong.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.batch.run import do_case
from repmedsam_infer.case import read_case
from repmedsam_infer.commands.timing.advice import Measured, advice, table
from repmedsam_infer.commands.timing.times_file import write_times
from repmedsam_infer.commands.timing.timing_cases import write_timing_cases
from repmedsam_infer.commands.timing.whole_process import time_process
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.precision import KINDS, PRECISIONS, Precision, choose_precision
from repmedsam_infer.engines.weights import Weights, find_weights
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.evaluation.phantoms import write_samples
from repmedsam_infer.io.case_files import find_cases, is_volume_name
from repmedsam_infer.system.threads import available_threads

ENGINE = "openvino"  # the one that has several precisions
# Of the timing cases a picture, and a volume whose box spans 60 slices. The work in them is the same in every
# precision: on larger pictures more or fewer boxes are tried anew (segmentation/box_fit.py).
DRAWN = ("2DBox_US_256", "3DBox_MR_84")
MOST_SECONDS = 25.0  # a kind: then no further round is begun; the first two are always done
FEWEST_ROUNDS = 2


class Cases(NamedTuple):
    """Of one kind: those that are timed, in a folder of their own, and those whose masks alone are compared."""

    timed: Path
    compared: Sequence[Path]


def choose(
    folder: Path | None, rounds: int, threads: int, weights: Path | None, output: Path | None,
    progress: Callable[[str], None],
) -> str:  # fmt: skip
    """Return a table of what was measured on the cases of `folder`, or on drawn ones, and what to take, in words.

    Options as of `repmedsam benchmark`.

    Raises:
        CaseReadError: a case cannot be read.
        UsageError: there are no cases, or `output` cannot be written.
        SetupError: OpenVINO or the weights are missing, or a case failed in fp32.

    """
    found, threads = find_weights(weights), threads or available_threads()
    automatic = {kind: choose_precision("auto", found, volumes=kind == "volumes") for kind in KINDS}
    show = cache(progress)  # once what is the same for pictures and volumes
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="repmedsam-") as scratch:
        for kind, cases in cases_by_kind(folder, Path(scratch)).items():
            until = time.monotonic() + MOST_SECONDS if folder is None else None
            measured += measure(kind, cases, found, (rounds, until), threads, Path(scratch), show)
    if output is not None:
        write_times(output, measured, found)
    return f"{table(measured, automatic)}\n\n" + "\n".join(advice(measured, automatic))


def cases_by_kind(folder: Path | None, scratch: Path) -> dict[str, Cases]:
    """Return pictures and volumes, or one of both, of a folder; without it drawn ones, in `scratch`.

    Raises:
        UsageError: there are none.
        CaseReadError: one cannot be read.

    """
    if folder is None:
        timed, compared = write_timing_cases(scratch / "drawn", list(DRAWN)), write_samples(scratch / "samples")
    else:
        timed, compared = find_cases(folder), []
    cases = {}
    for kind in KINDS:
        mine = [path for path in timed if is_volume_name(path.name) == (kind == "volumes")]
        if mine:
            (scratch / kind).mkdir()
            for path in mine:
                read_case(path)
                shutil.copy(path, scratch / kind)
            others = [path for path in compared if is_volume_name(path.name) == (kind == "volumes")]
            cases[kind] = Cases(scratch / kind, others)
    return cases


def measure(
    kind: str, cases: Cases, weights: Weights, rounds: tuple[int, float | None], threads: int, scratch: Path,
    show: Callable[[str], None],
) -> list[Measured]:  # fmt: skip
    """Measure what runs here; all take turns within a round, and which begins changes.

    Args:
        kind: one of KINDS.
        cases: those of that kind.
        weights: the weights.
        rounds: how many, and the time (of time.monotonic) after which no other is begun; None for none.
        threads: how many threads.
        scratch: a folder for what is written.
        show: called with each line of progress.

    Raises:
        SetupError: it cannot be done in fp32.

    """
    engines = load_all(weights, threads, show, volumes=kind == "volumes")
    agreements = compare(engines, cases, scratch / "masks.npz")
    measured = [Measured(kind, precision, agreement=agreements[precision]) for precision in engines]
    order = measured
    for number in range(rounds[0]):
        if number >= FEWEST_ROUNDS and rounds[1] is not None and time.monotonic() > rounds[1]:
            break
        show(f"{kind}: round {number + 1} of {rounds[0]}")
        for one in order:
            seconds, _ = time_process(cases.timed, scratch / "out", ENGINE, one.precision, threads, weights)
            one.whole_seconds.append(seconds)
            one.case_seconds.append(seconds_alone(engines[one.precision], cases, scratch / "warm.npz"))
        order = order[1:] + order[:1]
    return measured


def load_all(weights: Weights, threads: int, show: Callable[[str], None], *, volumes: bool) -> dict[Precision, Engine]:
    """Return an engine of each precision that runs here; why others do not is shown."""
    engines = {}
    for precision in PRECISIONS:
        try:
            engines[precision] = load_engine(ENGINE, weights, threads, precision, volumes=volumes)
        except (UsageError, SetupError) as error:
            if precision == "fp32":
                raise
            show(f"{precision} is left out: {error}")
    return engines


def compare(engines: Mapping[Precision, Engine], cases: Cases, target: Path) -> dict[Precision, list[float]]:
    """Return the agreement of every precision with fp32 over all cases, which go through `target`."""
    scores: dict[Precision, list[float]] = {precision: [] for precision in engines}
    for path in (*sorted(cases.timed.iterdir()), *cases.compared):
        masks = {}
        for precision, engine in engines.items():
            do(engine, path, target)
            with np.load(target) as written:
                masks[precision] = written["segs"]
        for precision, ours in masks.items():
            scores[precision] += agreement(ours, masks["fp32"])
    return scores


def seconds_alone(engine: Engine, cases: Cases, target: Path) -> float:
    """Return the seconds of the timed cases without start-up."""
    return sum(do(engine, path, target) for path in sorted(cases.timed.iterdir()))


def do(engine: Engine, path: Path, target: Path) -> float:
    """Segment a case and return the seconds that it took. Raise SetupError where it fails."""
    report = do_case(path, target, engine)
    if report.status == "failed":
        raise SetupError(f"{path.name} failed in {engine.precision}: {report.error}")
    return report.seconds


def agreement(ours: NDArray[np.integer], reference: NDArray[np.integer]) -> list[float]:
    """Return the DSC, 0 to 1, of both masks of every object that has one in either label map."""
    scores: list[float] = []
    for label in np.union1d(ours, reference):
        if label:
            one, other = ours == label, reference == label
            scores.append(2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other)))
    return scores
