"""Files as people have them to label maps in the same place: what `repmedsam segment` does.

file ── read_scan ──> scan ── make_scan_case ──> case ── segment ──> labels ── back ── write_labels ──> file
boxes ───────────────────────────┘
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from repmedsam_infer.batch.label_table import label_table
from repmedsam_infer.batch.provenance import provenance
from repmedsam_infer.batch.report import CaseReport, now
from repmedsam_infer.batch.result_files import write_one
from repmedsam_infer.batch.run import slices_of
from repmedsam_infer.batch.runner import do_run
from repmedsam_infer.commands.files.file_job import FileJob, FileTask, tasks_of
from repmedsam_infer.engines.load import load_engines
from repmedsam_infer.engines.pool import EnginePool
from repmedsam_infer.errors import EXIT_CASE_FAILED, SetupError, UsageError
from repmedsam_infer.formats import check_holds, write_labels
from repmedsam_infer.formats.scan_case import make_scan_case
from repmedsam_infer.result import objects_of
from repmedsam_infer.segmentation.segment import doubts
from repmedsam_infer.segmenter import Segmenter
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_infer.system.threads import available_threads

Unable = list[SetupError | UsageError]


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
    tasks, files = tasks_of(job)
    started = now()
    threads = threads or available_threads()
    jobs = max(1, min(jobs, threads, len(tasks)))
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

    def do(task: FileTask, watch: Stopwatch) -> CaseReport:
        return do_file(task, segmenter, watch, unable)

    def setting() -> dict[str, Any]:
        of_shard = {} if job.shard is None else {"shard": str(job.shard)}
        return {**provenance(segmenter.pool, segmenter.weights, threads, started), **of_shard, "jobs": jobs}

    code, reports = do_run(tasks, do, files, setting, at_once=jobs, resume=job.resume)
    if files is None and code == 0 and not write_one(job.table, lambda: label_table(reports)):
        code = EXIT_CASE_FAILED
    return unable[0].exit_code if unable else code


def do_file(task: FileTask, segmenter: Segmenter, watch: Stopwatch, unable: Unable) -> CaseReport:
    """Read, segment and write one input; never raises but for Stopped and its like.

    unable: takes what is not installed, which other inputs may not need, and what this machine cannot do.
    """
    path = task.input
    report = task.report(watch)
    with report.timed():
        try:
            with watch("read"):
                scan = task.reading.scan(path)
                check_holds(task.target, scan)
                boxes = task.boxes.boxes_on(path, scan)
            with watch("prepare"):
                case, layout = make_scan_case(path.name, scan, boxes.corners, task.reading.window, boxes.open_ended)
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
