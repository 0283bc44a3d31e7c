"""How long cases take, by stage, from a cold start and in a long run, for every engine and precision asked for.

Variants take turns within each round, so that a machine that slows down slows all of them; medians over rounds count.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

from repmedsam_infer.batch.report import CaseReport
from repmedsam_infer.batch.run import do_case
from repmedsam_infer.case import read_case
from repmedsam_infer.commands.timing.times_file import write_times
from repmedsam_infer.commands.timing.timing_cases import write_timing_cases
from repmedsam_infer.commands.timing.whole_process import time_process
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.weights import Weights, find_weights
from repmedsam_infer.errors import SetupError
from repmedsam_infer.evaluation.markdown import markdown
from repmedsam_infer.io.case_files import find_cases, is_volume_name
from repmedsam_infer.system.threads import available_threads

STAGES = ("read", "preprocess", "encode", "decode", "postprocess", "write")


class Variant(NamedTuple):
    """What is compared."""

    engine: str
    precision: str


@dataclass
class Times:
    """Of one case and variant, a value a round: seconds of the whole process, and of the case in a loaded one.

    peak_mib is the largest resident set of the whole processes, encodings how many slices were encoded.
    """

    case: str
    shape: tuple[int, ...]
    boxes: int
    engine: str
    precision: str
    encodings: int = 0
    cold_seconds: list[float] = field(default_factory=list)
    warm_seconds: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    peak_mib: float | None = None


def benchmark(
    paths: Sequence[Path], variants: Sequence[Variant], rounds: int, threads: int, weights: Weights,
    show: Callable[[str], None],
) -> list[Times]:  # fmt: skip
    """Take the times of every case and variant, shown as they come.

    Raises:
        CaseReadError: a case cannot be read.
        UsageError, SetupError: an engine cannot be loaded, or a process failed.

    """
    kinds = {is_volume_name(path.name) for path in paths}
    engines = {
        (variant, volumes): load_engine(variant.engine, weights, threads, variant.precision, volumes=volumes)
        for variant in variants
        for volumes in kinds
    }
    results: list[Times] = []
    with tempfile.TemporaryDirectory(prefix="repmedsam-") as scratch:
        for path in paths:
            case = read_case(path)
            folder = Path(scratch) / path.stem
            folder.mkdir()
            shutil.copy(path, folder)
            of_case = {
                v: Times(path.stem, case.shape, case.boxes.count, v.engine, engines[v, case.is_volume].precision)
                for v in variants
            }
            for _ in range(rounds):
                for variant, times in of_case.items():
                    run_cold(times, folder, Path(scratch) / "out", variant, threads, weights)
                    run_warm(times, folder / path.name, Path(scratch) / "warm.npz", engines[variant, case.is_volume])
            for times in of_case.values():
                show(f"{times.case} {times.engine} {times.precision}: {summary(times)}")
            results += of_case.values()
            shutil.rmtree(folder)
    return results


def benchmark_folder(
    folder: Path | None,
    variants: Sequence[Variant],
    rounds: int,
    threads: int,
    weights: Path | None,
    output: Path | None,
    progress: Callable[[str], None],
) -> str:
    """Return the Markdown table of `benchmark` on the cases of `folder`, or on drawn ones; every time goes to `output`.

    Options as of `repmedsam benchmark`.

    Raises:
        UsageError: there are no cases, or `output` cannot be written.
        SetupError: an engine or the weights are missing.

    """
    found = find_weights(weights)
    with tempfile.TemporaryDirectory(prefix="repmedsam-") as scratch:
        paths = cases_of(folder, Path(scratch))
        results = benchmark(paths, variants, rounds, threads or available_threads(), found, progress)
    if output is not None:
        write_times(output, results, found)
    return table(results)


def run_cold(times: Times, folder: Path, out: Path, variant: Variant, threads: int, weights: Weights) -> None:
    """Time a whole process for one case, from start to exit."""
    seconds, peak = time_process(folder, out, variant.engine, variant.precision, threads, weights)
    times.cold_seconds.append(seconds)
    times.peak_mib = max(filter(None, (peak, times.peak_mib)), default=None)


def run_warm(times: Times, path: Path, target: Path, engine: Engine) -> None:
    """Time the case alone, its network loaded and used before."""
    if not times.warm_seconds:
        do_case(path, target, engine)  # the first time buffers are made
    report: CaseReport = do_case(path, target, engine)
    if report.status == "failed":
        raise SetupError(str(report.error))
    times.encodings = report.encodings
    times.warm_seconds.append(report.seconds)
    for stage in STAGES:
        times.stages[stage].append(report.stages.get(stage, 0.0))


def cases_of(folder: Path | None, scratch: Path) -> list[Path]:
    """Return the npz files of a folder, or drawn ones in `scratch`.

    Raises:
        UsageError: the folder holds none.

    """
    return write_timing_cases(scratch) if folder is None else find_cases(folder)


def summary(times: Times) -> str:
    return f"{median(times.cold_seconds):.2f} s cold, {median(times.warm_seconds):.2f} s warm"


def table(results: Sequence[Times]) -> str:
    """Medians as a Markdown table; stages are those of the warm run."""
    rows = []
    for times in results:
        warm = median(times.warm_seconds)
        rows.append(
            {
                "case": times.case,
                "size": " x ".join(map(str, times.shape)),
                "boxes": str(times.boxes),
                "engine": f"{times.engine} {times.precision}",
                "cold": f"{median(times.cold_seconds):.2f}",
                "warm": f"{warm:.3f}",
                **{stage: f"{median(times.stages[stage]):.3f}" for stage in STAGES},
                "slices/s": f"{times.encodings / warm:.1f}",
                "peak MiB": "" if times.peak_mib is None else f"{times.peak_mib:.0f}",
            }
        )
    return markdown(rows)
