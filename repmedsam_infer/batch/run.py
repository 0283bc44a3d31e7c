"""Npz cases: find them, and do each one."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from repmedsam_infer.batch.first_case import FirstCase
from repmedsam_infer.batch.job import InputCase, Job
from repmedsam_infer.batch.progress import Watcher
from repmedsam_infer.batch.report import CaseReport
from repmedsam_infer.batch.runner import Do, Task, check_new, check_table, run_tasks
from repmedsam_infer.case import Case, read_case, write_segmentation
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.pool import EnginePool
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.io.atomic import sweep_all
from repmedsam_infer.io.case_files import is_manifest, is_volume_name
from repmedsam_infer.preprocess import Zoom, check_zoom
from repmedsam_infer.result import objects_of
from repmedsam_infer.segmentation.propagation import Propagation, check_propagation
from repmedsam_infer.segmentation.segment import doubts, segment
from repmedsam_infer.system.stopwatch import Stopwatch


def cases_to_run(job: Job) -> list[InputCase]:
    """`job.find`, and `check_can_start`. Raise what they raise."""
    cases = job.find()
    check_can_start(job, cases)
    return cases


def check_can_start(job: Job, cases: Sequence[InputCase]) -> None:
    """Make the folders that results go to.

    Raises:
        UsageError: results would be lost.
        SetupError: a folder cannot be written.

    """
    for folder in filter(None, (job.outputs, job.overlays)):
        make_writable_folder(folder)
    if os.path.realpath(job.inputs) == os.path.realpath(job.outputs):
        raise UsageError("input and output folder are the same: the results would replace the cases")
    tasks = [job.task(case) for case in cases]
    check_nothing_read_is_replaced(job, tasks)
    check_new(tasks, overwrite=job.overwrite, resume=job.resume)
    check_table(job.files.labels, overwrite=job.overwrite)
    make_folders_of(tasks)


def check_nothing_read_is_replaced(job: Job, tasks: Sequence[Task]) -> None:
    """Raise UsageError where a result, report or picture would take the place of a case or of the manifest."""
    if is_manifest(job.inputs):  # a folder's cases lie in another folder than the results
        from repmedsam_infer.shards.manifest import check_reads_none_of

        overlays = [task.overlay for task in tasks if task.overlay is not None]
        check_reads_none_of(job.inputs, [*job.files.all, *(task.target for task in tasks), *overlays])
    check_no_folder_is_a_file([task.target for task in tasks])


def check_no_folder_is_a_file(targets: Sequence[Path]) -> None:
    """Raise UsageError where one result would lie in another, as in a folder."""
    known = set(targets)
    odd = next((parent for target in targets for parent in target.parents if parent in known), None)
    if odd is not None:
        raise UsageError(f"{odd} would be a label map and a folder of others: give them other outputs")


def make_folders_of(tasks: Sequence[Task]) -> None:
    """Make the folders in the folder of results that a manifest names. Raise SetupError where one cannot be made."""
    targets = [path for task in tasks if "/" in task.output for path in (task.target, task.overlay) if path is not None]
    for folder in {target.parent for target in targets}:
        make_writable_folder(folder)


def make_writable_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "there is a file of that name" if isinstance(error, FileExistsError) else error.strerror
        raise SetupError(f"the output folder {folder} cannot be made ({reason}): name another") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        user = f" by user {os.getuid()}" if hasattr(os, "getuid") else ""
        raise SetupError(
            f"the output folder {folder} cannot be written{user}: change its permissions, "
            'or run the container with --user "$(id -u):$(id -g)"'
        )


def run(job: Job, cases: Sequence[InputCase], pool: EnginePool, at_once: int = 1) -> Iterator[CaseReport]:
    """Segment `at_once` cases at a time, and report on each in order; a failure is that case's own. Nothing is resumed,
    shown or put down.
    """
    tasks = [job.task(case) for case in cases]
    sweep_all(task.target for task in tasks)
    return run_tasks(tasks, doing(job, pool), at_once, {}, Watcher(len(tasks)), lambda _: None)


def doing(job: Job, pool: EnginePool, first: FirstCase | None = None) -> Do[Task]:
    """Return what does a case of the job, with an engine of the pool; `first` may have been read before.

    Raises:
        UsageError: there is no such zoom or propagation.

    """
    zoom, propagation = check_zoom(job.zoom), check_propagation(job.propagation)

    def do(task: Task, watch: Stopwatch) -> CaseReport:
        with pool.engine(volumes=is_volume_name(task.input.name)) as engine:
            if first is None or first.path != task.input:
                return do_task(task, engine, watch, zoom, propagation)
            report = do_task(task, engine, watch, zoom, propagation, first.read)
            first.count_in(report)
            return report

    return do


def do_case(path: Path, target: Path, engine: Engine) -> CaseReport:
    """`do_task` of one file, as it is by default."""
    return do_task(Task(path, target), engine, Stopwatch())


def do_task(
    task: Task, engine: Engine, watch: Stopwatch, zoom: Zoom = "auto", propagation: Propagation = "ellipsoid",
    read: Callable[[Path], Case] = read_case,
) -> CaseReport:  # fmt: skip
    """Read, segment and write one case; never raises but for Stopped and its like."""
    report = task.report(watch)
    with report.timed():
        with watch("read"):
            case = read(task.input)
        watch.expected = slices_of(case)
        report.boxes = case.boxes.count
        report.warnings += case.warnings
        segmented = segment(case, engine, watch, zoom, propagation)
        segs = segmented.labels
        report.encodings = watch.calls.get("encode", 0)
        with watch("write"):
            write_segmentation(task.target, segs)
        names = [f"object {label}" for label in range(1, case.boxes.count + 1)]
        spacing = None if case.spacing is None else case.spacing[-segs.ndim :].tolist()
        report.add_objects(objects_of(segs, case.boxes, segmented.confidence, names, spacing))
        report.warnings += doubts(case.boxes.labels, segmented.confidence)
        if task.overlay is not None:
            from repmedsam_infer.drawing.overlay import write_overlay

            with watch("overlay"):
                write_overlay(task.overlay, case, segs)
    return report


def slices_of(case: Case) -> int:
    """Return how many slices of a volume boxes span, each of which is encoded once; 0 where that is not known yet."""
    if not case.is_volume or case.boxes.open_ended:
        return 0
    spanned = np.zeros(case.shape[0], bool)
    for first, last in np.rint(case.boxes.corners[:, [2, 5]]).astype(int).tolist():
        spanned[first : last + 1] = True
    return int(spanned.sum())
