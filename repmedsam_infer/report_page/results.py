"""A run as it lies in its folders, put together case by case: report.json, images, segmentations, ground truth."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.batch.report import CaseReport, Run, number, read_efficiency
from repmedsam_infer.batch.run_files import EFFICIENCY, REPORT
from repmedsam_infer.errors import RepMedSAMError, UsageError, printable
from repmedsam_infer.evaluation.measure import Measure, measure_labels
from repmedsam_infer.io.case_files import modality_of
from repmedsam_infer.report_page.opened import Folders, Opened, is_case, open_case
from repmedsam_infer.report_page.pictures import Pictures

ScoreObjects = Callable[
    [NDArray[np.integer], NDArray[np.integer], tuple[float, ...]], Mapping[int, tuple[float, float]]
]  # of object_scores.py, which needs packages that are an extra
Draw = Callable[[Opened], Pictures | None]
NOT_STATED = "not stated"  # in place of a modality
MOST_SECONDS = 1e9  # that a case can have taken; what is more is none of ours


@dataclass(frozen=True)
class ObjectResult:
    """One label.

    measure: None where nothing is marked. dsc, nsd: None where there is no ground truth. confidence: the estimated DSC,
    None where the run has none. name: of its box; empty where the run has none.
    """

    label: int
    measure: Measure | None
    dsc: float | None = None
    nsd: float | None = None
    confidence: float | None = None
    name: str = ""


@dataclass
class Result:
    """One case.

    report: as report.json has it; with an error as well where its files cannot be read now.
    shape: of the label map; empty where it was not read.
    spacing: mm along each axis of it, or None.
    has_truth: whether there is ground truth, scored or not.
    has_letters: whether pictures show where right and left are.
    pictures: None where it was not read.
    stated_modality: of an image that is not a case in npz, whose name says it.
    """

    report: CaseReport
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] | None = None
    objects: list[ObjectResult] = field(default_factory=list)
    has_truth: bool = False
    has_letters: bool = False
    pictures: Pictures | None = None
    stated_modality: str = ""

    @property
    def modality(self) -> str:
        if is_case(self.report):
            return modality_of(self.report.case)
        return self.stated_modality or NOT_STATED

    @property
    def dsc(self) -> float | None:
        """The mean over the objects that were scored."""
        return mean([one.dsc for one in self.objects])

    @property
    def nsd(self) -> float | None:
        return mean([one.nsd for one in self.objects])

    @property
    def confidence(self) -> float | None:
        """The lowest of its objects': one bad mask is what to look for."""
        return min((one.confidence for one in self.objects if one.confidence is not None), default=None)


def mean(values: list[float | None]) -> float | None:
    """None where there is no value."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def find_names(run: Run, segs: Path) -> list[str]:
    """Every case that is in report.json or has a segmentation, in order.

    Raises:
        UsageError: there is none.

    """
    written = {case.output for case in run.cases.values()}
    others = {path.name for path in segs.glob("*.npz") if not path.name.startswith(".")} - written
    names = sorted(run.cases.keys() | others)
    if not names:
        raise UsageError(f"there are no results in {segs}: it is the folder that predict or segment wrote to (-o)")
    return names


def collect(
    names: list[str], run: Run, folders: Folders, score_objects: ScoreObjects | None, draw: Draw
) -> Iterator[Result]:
    """Return the result of each case; one whose files cannot be read says so.

    Args:
        score_objects: None where scores cannot be computed here.
        draw: makes the pictures.

    """
    seconds = read_efficiency(folders.segs / EFFICIENCY)
    for name in names:
        report = run.cases.get(name) or CaseReport(name, "skipped")
        if report.status == "skipped" and name in seconds:
            try:
                report.seconds = number(seconds[name])
            except ValueError:
                report.warnings.append(f"its time in {EFFICIENCY} is not a number: {seconds[name]}")
        drop_impossible_times(report)
        result = Result(report)
        if report.status != "failed":
            try:
                read_files(result, folders, score_objects, draw)
            except Exception as error:  # the page shows the other cases
                report.fail(reason_of(error, name))
                result = Result(report)
        yield result


def reason_of(error: Exception, name: str) -> str:
    """Return why a case cannot be shown."""
    if isinstance(error, RepMedSAMError):
        return str(error)
    if isinstance(error, OSError):  # of a name that no file can have, for one
        return printable(f"{name}: its files cannot be read ({error.strerror})")
    if isinstance(error, MemoryError):
        return f"{printable(name)}: does not fit into memory"
    return printable(f"{name}: internal error, please report it: {type(error).__name__}: {error}")


def drop_impossible_times(report: CaseReport) -> None:
    """Take out of a report what cannot be a time: report.json may come from anywhere."""
    report.stages = {stage: seconds for stage, seconds in report.stages.items() if seconds <= MOST_SECONDS}
    if report.seconds > MOST_SECONDS:
        report.warnings.append(f"its time in {REPORT} cannot be: {report.seconds:g} seconds")
        report.seconds = 0.0


def read_files(result: Result, folders: Folders, score_objects: ScoreObjects | None, draw: Draw) -> None:
    """Fill in what the files of a case hold.

    Raises:
        CaseReadError: one of them cannot be read, or they do not go together.
        SetupError: what reads its kind is not installed.

    """
    report = result.report
    if is_case(report):
        opened = open_case(report, folders)
    else:
        from repmedsam_infer.report_page.scans import open_files

        opened = open_files(report, folders)
    segs, spacing, truth = opened.segs, opened.spacing, opened.extras.truth
    measures = {measure.label: measure for measure in measure_labels(segs, spacing)}
    scores: Mapping[int, tuple[float, float]] = {}
    if truth is not None and score_objects is not None:
        scores = score_objects(truth, segs, spacing or (1.0,) * segs.ndim)
    told = {one.label: one for one in report.objects}
    labels = sorted(measures.keys() | scores.keys() | set(opened.case.boxes.labels.tolist()))
    unscored = (None, None)
    for label in labels:
        one, (dsc, nsd) = told.get(label), scores.get(label, unscored)
        confidence, object_name = (one.confidence, one.name) if one else (None, "")
        known = confidence if confidence is not None and confidence <= 1 else None
        result.objects.append(ObjectResult(label, measures.get(label), dsc, nsd, known, object_name))
    report.boxes = report.boxes or opened.case.boxes.count
    report.warnings.extend(opened.notes)
    result.shape, result.spacing, result.stated_modality = opened.case.shape, spacing, opened.modality
    result.has_truth, result.has_letters = truth is not None, opened.extras.ends is not None
    result.pictures = draw(opened)
