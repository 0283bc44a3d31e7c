"""Files as people have them to label maps in the same place: what `repmedsam segment` does.

file ── read_scan ──> scan ── make_scan_case ──> case ── segment ──> labels ── back ── write_labels ──> file
boxes ───────────────────────────┘
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from repmedsam_infer.batch.journal import NAME as JOURNAL
from repmedsam_infer.batch.label_table import is_table, label_table
from repmedsam_infer.batch.provenance import provenance
from repmedsam_infer.batch.report import EFFICIENCY, REPORT, CaseReport, now
from repmedsam_infer.batch.result_files import LABELS, write_one
from repmedsam_infer.batch.run import make_writable_folder, slices_of
from repmedsam_infer.batch.runner import Task, check_new, check_table, do_run
from repmedsam_infer.commands.reading import Reading
from repmedsam_infer.engines.load import load_engines
from repmedsam_infer.engines.pool import EnginePool
from repmedsam_infer.errors import EXIT_CASE_FAILED, SetupError, UsageError
from repmedsam_infer.formats import check_holds, write_labels
from repmedsam_infer.formats.boxes.source import BoxSource
from repmedsam_infer.formats.endings import OUTPUTS, ending_of, name_of, own_ending
from repmedsam_infer.formats.names.itksnap import description_path, is_description, may_be_described
from repmedsam_infer.formats.scan_case import make_scan_case
from repmedsam_infer.preprocess import Zoom
from repmedsam_infer.result import objects_of
from repmedsam_infer.segmentation.propagation import Propagation
from repmedsam_infer.segmentation.segment import doubts
from repmedsam_infer.segmenter import Segmenter
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_infer.system.threads import available_threads

Unable = list[SetupError | UsageError]


@dataclass(frozen=True)
class FileJob:
    """What to do: inputs to a file or a folder.

    ending: of label maps in a folder; empty for each input's own kind.
    """

    inputs: Sequence[Path]
    output: Path
    boxes: BoxSource
    reading: Reading
    ending: str = ""
    overlays: Path | None = None
    overwrite: bool = False
    zoom: Zoom = "auto"
    propagation: Propagation = "ellipsoid"
    resume: bool = False

    def task(self, path: Path, target: Path) -> Task:
        """Return what becomes of the input at `path`."""
        overlay = None if self.overlays is None else self.overlays / f"{name_of(target)}.png"
        return Task(path, target, overlay)

    @property
    def table(self) -> Path:
        """Where the table of objects goes where the output is one file."""
        return self.output.with_name(f"{name_of(self.output)}.{LABELS}")


def targets_of(job: FileJob) -> list[Path]:
    """Where each input's label map goes, after making sure that the run can start.

    Raises:
        UsageError: an ending that cannot be written, two results of one name, or files that would be lost.
        SetupError: the folder cannot be written.

    """
    targets = named_targets(job)
    tasks = list(map(job.task, job.inputs, targets))
    overlays = [task.overlay for task in tasks if task.overlay is not None]
    twice, count = Counter(map(os.path.abspath, (*targets, *overlays))).most_common(1)[0]
    if count > 1:
        raise UsageError(f"two results would be written to {twice}; name folders of their own")
    # realpath: resolve() raises an error where links lead in a circle.
    sources = {os.path.realpath(p) for p in (*job.inputs, job.boxes.file, job.boxes.labels) if p is not None}
    is_folder = targets[0] != job.output
    beside = [job.output / name for name in (LABELS, REPORT, EFFICIENCY, JOURNAL)] if is_folder else [job.table]
    described = [target for target in targets if may_be_described(target)]
    written = (*targets, *overlays, *beside, *map(description_path, described))
    lost = [path for path in written if os.path.realpath(path) in sources]
    if lost:
        raise UsageError(f"the result would replace {lost[0]}, which is read; name another output")
    if is_folder:
        check_new(tasks, overwrite=job.overwrite, resume=job.resume)
        check_table(job.output, overwrite=job.overwrite)
    else:
        check_new_file(job, overlays)
    foreign = [p for p in map(description_path, described) if os.path.lexists(p) and not is_description(p)]
    if foreign and not job.overwrite:
        raise UsageError(f"{foreign[0]} is already there, and no file of ours: use --overwrite to replace it")
    for folder in {target.parent for target in targets} | ({job.overlays} if job.overlays else set()):
        make_writable_folder(folder)
    return targets


def named_targets(job: FileJob) -> list[Path]:
    """Return where label maps go by name. Raises UsageError where an ending is none that can be written."""
    given, wanted = ending_of(job.output), f".{job.ending.lower().lstrip('.')}" if job.ending else ""
    if job.output.is_dir() or not given:
        endings = [wanted or own_ending(path) for path in job.inputs]
        targets = [job.output / f"{name_of(path)}{end}" for path, end in zip(job.inputs, endings, strict=True)]
    elif len(job.inputs) > 1:
        raise UsageError(f"{len(job.inputs)} inputs cannot go into one file ({job.output}); name a folder")
    elif wanted not in ("", given):
        raise UsageError(f"--format {job.ending} and the output {job.output.name} contradict each other")
    else:
        targets = [job.output]
    for ending in {wanted or ending_of(target) for target in targets}:
        if ending not in OUTPUTS:
            raise UsageError(f"label maps cannot be written as {ending}; {', '.join(OUTPUTS)} are possible")
    return targets


def check_new_file(job: FileJob, overlays: Sequence[Path]) -> None:
    """Raise UsageError where the one file that is to be written is there already, or something in its table's place."""
    if job.resume:
        raise UsageError(f"--resume is for a folder of results, and {job.output} is one file")
    there = [path for path in (job.output, *overlays, job.table) if os.path.lexists(path) and not is_table(path)]
    if there and not job.overwrite:
        raise UsageError(f"{there[0]} is already there: use --overwrite to replace it")


def segment_files(
    job: FileJob,
    engine: str = "openvino",
    precision: str = "auto",
    threads: int = 0,
    weights: Path | None = None,
    jobs: int = 1,
) -> int:
    """Do it, telling of every input; returns the exit code. Options as of `repmedsam segment`.

    Into a folder go reports and the table of objects, too; beside a single file the table alone.

    Raises:
        UsageError, SetupError: the run cannot start.
        Stopped: a signal came.

    """
    targets = targets_of(job)
    started = now()
    threads = threads or available_threads()
    jobs = min(jobs, threads, len(targets))
    if jobs > 1 and engine == "torch":
        raise UsageError("the engine 'torch' does one case at a time: leave out --jobs")
    segmenter = Segmenter(
        engine=engine,  # type: ignore[arg-type]
        precision=precision,
        threads=max(1, threads // jobs),
        weights=weights,
        zoom=job.zoom,
        propagation=job.propagation,
    )
    if jobs > 1:
        segmenter.pool = EnginePool(
            lambda volumes: load_engines(engine, segmenter.weights, threads, precision, volumes=volumes, jobs=jobs)
        )
    unable: Unable = []

    def do(task: Task, watch: Stopwatch) -> CaseReport:
        return do_file(job, task, segmenter, watch, unable)

    def setting() -> dict[str, Any]:
        return {**provenance(segmenter.pool, segmenter.weights, threads, started), "jobs": jobs}

    tasks = list(map(job.task, job.inputs, targets))
    folder = None if targets[0] == job.output else job.output
    code, reports = do_run(tasks, do, folder, setting, at_once=jobs, resume=job.resume)
    if folder is None and code == 0 and not write_one(job.table, lambda: label_table(reports)):
        code = EXIT_CASE_FAILED
    return unable[0].exit_code if unable else code


def do_file(job: FileJob, task: Task, segmenter: Segmenter, watch: Stopwatch, unable: Unable) -> CaseReport:
    """Read, segment and write one input; never raises but for Stopped and its like.

    unable: takes what is not installed, which other inputs may not need, and what this machine cannot do.
    """
    path = task.input
    report = task.report(watch)
    with report.timed():
        try:
            with watch("read"):
                scan = job.reading.scan(path)
                check_holds(task.target, scan)
                boxes = job.boxes.boxes_on(path, scan)
            with watch("prepare"):
                case, layout = make_scan_case(path.name, scan, boxes.corners, job.reading.window, boxes.open_ended)
            watch.expected = slices_of(case)
            report.boxes = case.boxes.count
            report.warnings += [*case.warnings, *boxes.warnings, *renumbered(boxes.names)]
            segmented = segmenter.segment_case(case, watch)
            labels = layout.labels(segmented.labels)
            report.encodings = watch.calls.get("encode", 0)
            with watch("write"):
                write_labels(task.target, labels, scan, boxes.names)
            report.warnings += segmented.warnings
            used = boxes.corners[case.boxes.labels - 1]  # in the file's voxels
            found = [i for i, label in enumerate(case.boxes.labels.tolist()) if label in case.boxes.open_ended]
            used[found] = layout.boxes_of_voxels(segmented.corners[found]) if found else used[found]
            spacing = None if scan.spacing is None else scan.spacing[-labels.ndim :].tolist()
            given = replace(case.boxes, corners=used)
            report.add_objects(objects_of(labels, given, segmented.confidence, boxes.names, spacing))
            report.warnings += doubts(case.boxes.labels, segmented.confidence)
            if task.overlay is not None:
                from repmedsam_infer.drawing.extras import Extras
                from repmedsam_infer.drawing.overlay import write_overlay
                from repmedsam_infer.formats.sides import ends_of_slices

                with watch("overlay"):
                    write_overlay(task.overlay, case, segmented.labels, Extras(ends=ends_of_slices(scan, layout)))
        except (SetupError, UsageError) as error:
            unable.append(error)
            report.fail(f"{path.name}: {error}")
    return report


def renumbered(names: list[str]) -> list[str]:
    """Return a warning where boxes were taken from labels whose numbers have gaps: results are numbered by box."""
    odd = [f"{name} is {i} in the result" for i, name in enumerate(names, 1) if name.startswith("label ")]
    if odd and any(name != f"label {i}" for i, name in enumerate(names, 1)):
        return [f"labels are numbered in order of the boxes: {', '.join(odd[:8])}{', ...' if len(odd) > 8 else ''}"]
    return []
