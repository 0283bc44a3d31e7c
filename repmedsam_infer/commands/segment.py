"""Files as people have them to label maps in the same place: what `repmedsam segment` does.

file ── read_scan ──> scan ── make_scan_case ──> case ── segment ──> labels ── back ── write_labels ──> file
boxes ───────────────────────────┘
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from repmedsam_infer.batch.progress import complain, follow
from repmedsam_infer.batch.provenance import provenance
from repmedsam_infer.batch.report import CaseReport, now, write_reports
from repmedsam_infer.batch.run import make_writable_folder
from repmedsam_infer.commands.reading import Reading
from repmedsam_infer.errors import EXIT_CASE_FAILED, EXIT_ENVIRONMENT, EXIT_OK, SetupError, UsageError
from repmedsam_infer.formats import check_holds, write_labels
from repmedsam_infer.formats.boxes.source import BoxSource
from repmedsam_infer.formats.endings import OUTPUTS, ending_of, name_of, own_ending
from repmedsam_infer.formats.scan_case import make_scan_case
from repmedsam_infer.io.atomic import sweep
from repmedsam_infer.preprocess import Zoom
from repmedsam_infer.segmentation.segment import doubts
from repmedsam_infer.segmentation.volume import Propagation
from repmedsam_infer.segmenter import Segmenter
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_infer.system.threads import available_threads


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


def targets_of(job: FileJob) -> list[Path]:
    """Where each input's label map goes, after making sure that the run can start.

    Raises:
        UsageError: an ending that cannot be written, two results of one name, or files that would be lost.
        SetupError: the folder cannot be written.

    """
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
    twice = [target for target in targets if targets.count(target) > 1]
    if twice:
        raise UsageError(f"two inputs would be written to {twice[0]}; segment them into folders of their own")
    sources = {p.resolve() for p in (*job.inputs, job.boxes.file, job.boxes.labels) if p is not None}
    lost = [target for target in targets if target.resolve() in sources]
    if lost:
        raise UsageError(f"the label map would replace {lost[0]}, which is read; name another output")
    existing = [target for target in targets if target.exists()]
    if existing and not job.overwrite:
        raise UsageError(f"{existing[0]} is already there: use --overwrite to replace it")
    for folder in {target.parent for target in targets} | ({job.overlays} if job.overlays else set()):
        make_writable_folder(folder)
    return targets


def segment_files(
    job: FileJob, engine: str = "openvino", precision: str = "auto", threads: int = 0, weights: Path | None = None
) -> int:
    """Do it, telling of every input; returns the exit code. Options as of `repmedsam segment`.

    Into a folder go report.json and efficiency.csv, too.

    Raises:
        UsageError, SetupError: the run cannot start.

    """
    targets = targets_of(job)
    started = now()
    threads = threads or available_threads()
    segmenter = Segmenter(
        engine=engine,  # type: ignore[arg-type]
        precision=precision,
        threads=threads,
        weights=weights,
        zoom=job.zoom,
        propagation=job.propagation,
    )
    reports: list[CaseReport] = []
    unable: list[SetupError] = []
    try:
        reports.extend(follow(run(job, targets, segmenter, unable), len(targets)))
    finally:
        if targets[0] != job.output:
            try:
                used = provenance(segmenter.pool, segmenter.weights, threads, started)
                write_reports(job.output, reports, used)
            except OSError as error:
                complain(f"error: the reports could not be written to {job.output} ({error.strerror})")
                return EXIT_CASE_FAILED
    if unable:
        return EXIT_ENVIRONMENT
    return EXIT_CASE_FAILED if any(report.status == "failed" for report in reports) else EXIT_OK


def run(job: FileJob, targets: list[Path], segmenter: Segmenter, unable: list[SetupError]) -> Iterator[CaseReport]:
    for path, target in zip(job.inputs, targets, strict=True):
        sweep(target)
        yield do_file(job, path, target, segmenter, unable)


def do_file(job: FileJob, path: Path, target: Path, segmenter: Segmenter, unable: list[SetupError]) -> CaseReport:
    """Read, segment and write one input; never raises but for KeyboardInterrupt and its like.

    unable: takes what is not installed, which other inputs may not need.
    """
    watch = Stopwatch()
    report = CaseReport(path.name, "ok", stages=watch.seconds)
    with report.timed():
        try:
            with watch("read"):
                scan = job.reading.scan(path)
                check_holds(target, scan)
                boxes = job.boxes.boxes_on(path, scan)
            with watch("prepare"):
                case, layout = make_scan_case(path.name, scan, boxes.corners, job.reading.window, boxes.open_ended)
            report.boxes = case.boxes.count
            report.warnings += [*case.warnings, *boxes.warnings, *renumbered(boxes.names)]
            segmented = segmenter.segment_case(case, watch)
            segs = segmented.labels
            report.encodings = watch.calls.get("encode", 0)
            with watch("write"):
                write_labels(target, layout.labels(segs), scan, boxes.names)
            report.warnings += [*segmented.warnings, *doubts(case.boxes.labels, segmented.confidence)]
            used = boxes.corners[case.boxes.labels - 1]  # in the file's voxels
            found = [i for i, label in enumerate(case.boxes.labels.tolist()) if label in case.boxes.open_ended]
            used[found] = layout.boxes_of_voxels(segmented.corners[found]) if found else used[found]
            report.add_objects(case.boxes.labels.tolist(), used.tolist(), segmented.confidence.tolist(), boxes.names)
            if job.overlays is not None:
                from repmedsam_infer.drawing.overlay import write_overlay

                with watch("overlay"):
                    write_overlay(job.overlays / f"{name_of(target)}.png", case, segs)
        except SetupError as error:
            unable.append(error)
            report.fail(f"{path.name}: {error}")
    return report


def renumbered(names: list[str]) -> list[str]:
    """Return a warning where boxes were taken from labels whose numbers have gaps: results are numbered by box."""
    odd = [f"{name} is {i} in the result" for i, name in enumerate(names, 1) if name.startswith("label ")]
    if odd and any(name != f"label {i}" for i, name in enumerate(names, 1)):
        return [f"labels are numbered in order of the boxes: {', '.join(odd[:8])}{', ...' if len(odd) > 8 else ''}"]
    return []
