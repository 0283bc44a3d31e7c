"""A folder of cases: find them, do each one apart from the others, put down what happened."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from repmedsam_infer.batch.report import CaseReport
from repmedsam_infer.case import find_cases, is_volume_name, read_case, write_segmentation
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.pool import EnginePool
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.io.atomic import sweep
from repmedsam_infer.preprocess import Zoom
from repmedsam_infer.segmentation.segment import doubts, segment
from repmedsam_infer.segmentation.volume import Propagation
from repmedsam_infer.system.stopwatch import Stopwatch


@dataclass(frozen=True)
class Job:
    """What to do with a folder: inputs to outputs."""

    inputs: Path
    outputs: Path
    overwrite: bool = False
    resume: bool = False
    overlays: Path | None = None
    zoom: Zoom = "auto"
    propagation: Propagation = "ellipsoid"


def cases_to_run(job: Job) -> list[Path]:
    """Return the cases of the input folder in order of name, after making sure that the run can start.

    Raises:
        UsageError: no such folder, nothing in it, or results that would be lost.
        SetupError: the output folder cannot be written.

    """
    paths = find_cases(job.inputs)
    for folder in filter(None, (job.outputs, job.overlays)):
        make_writable_folder(folder)
    if job.inputs.resolve() == job.outputs.resolve():
        raise UsageError("input and output folder are the same: the results would replace the cases")
    existing = [p.name for p in paths if (job.outputs / p.name).exists()]
    if existing and not (job.overwrite or job.resume):
        raise UsageError(
            f"{len(existing)} of {len(paths)} results are already in {job.outputs} ({existing[0]}, ...): "
            "use --overwrite to replace them or --resume to keep them"
        )
    return paths


def make_writable_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"the output folder {folder} cannot be made ({error.strerror})") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        user = f" by user {os.getuid()}" if hasattr(os, "getuid") else ""
        raise SetupError(
            f"the output folder {folder} cannot be written{user}: change its permissions, "
            'or run the container with --user "$(id -u):$(id -g)"'
        )


def run(job: Job, paths: list[Path], pool: EnginePool, at_once: int = 1) -> Iterator[CaseReport]:
    """Segment `at_once` cases at a time, and report on each in order; a failure is that case's own."""

    def do(path: Path) -> CaseReport:
        target = job.outputs / path.name
        sweep(target)
        if job.resume and target.exists():
            return CaseReport(path.name, "skipped")
        with pool.engine(volumes=is_volume_name(path.name)) as engine:
            return do_case(path, target, engine, job.overlays, job.zoom, job.propagation)

    if at_once == 1:  # in this thread: an interruption stops it at once
        yield from map(do, paths)
        return
    threads = ThreadPoolExecutor(at_once)
    try:
        yield from threads.map(do, paths)
    finally:
        threads.shutdown(cancel_futures=True)  # those begun are finished, and none is torn


def do_case(
    path: Path,
    target: Path,
    engine: Engine,
    overlays: Path | None = None,
    zoom: Zoom = "auto",
    propagation: Propagation = "ellipsoid",
) -> CaseReport:
    """Read, segment and write one case; never raises but for KeyboardInterrupt and its like."""
    watch = Stopwatch()
    report = CaseReport(path.name, "ok", stages=watch.seconds)
    with report.timed():
        with watch("read"):
            case = read_case(path)
        report.boxes = case.boxes.count
        report.warnings += case.warnings
        segmented = segment(case, engine, watch, zoom, propagation)
        segs = segmented.labels
        report.encodings = watch.calls.get("encode", 0)
        with watch("write"):
            write_segmentation(target, segs)
        report.warnings += doubts(case.boxes.labels, segmented.confidence)
        report.add_objects(
            case.boxes.labels.tolist(), case.boxes.corners.tolist(), segmented.confidence.tolist(), names=()
        )
        if overlays is not None:
            from repmedsam_infer.drawing.overlay import write_overlay

            with watch("overlay"):
                write_overlay(overlays / f"{path.stem}.png", case, segs)
    return report
