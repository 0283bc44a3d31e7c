"""A run as it lies in its folders, put together case by case: report.json, cases, segmentations, ground truth."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.batch.report import EFFICIENCY, CaseReport, Run, number, read_efficiency
from repmedsam_infer.boxes import MAX_BOXES
from repmedsam_infer.case import Case, modality_of, read_case
from repmedsam_infer.errors import CaseError, CaseReadError, UsageError
from repmedsam_infer.evaluation.measure import Measure, measure_labels
from repmedsam_infer.io.npz import open_npz

ScoreObjects = Callable[
    [NDArray[np.integer], NDArray[np.integer], tuple[float, ...]], Mapping[int, tuple[float, float]]
]  # of object_scores.py, which needs packages that are an extra


@dataclass(frozen=True)
class Folders:
    """Where a run lies. gts: None where the cases hold their ground truth themselves, if there is any."""

    segs: Path
    cases: Path
    gts: Path | None = None

    def check(self) -> None:
        """Raise UsageError where one of them is not there."""
        for folder in filter(None, (self.segs, self.cases, self.gts)):
            if not folder.is_dir():
                raise UsageError(f"the folder {folder} does not exist")


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
    pictures: encoded, from small to large.
    """

    report: CaseReport
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] | None = None
    objects: list[ObjectResult] = field(default_factory=list)
    has_truth: bool = False
    pictures: tuple[bytes, ...] = ()

    @property
    def modality(self) -> str:
        return modality_of(self.report.case)

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
    names = sorted(run.cases.keys() | {p.name for p in segs.glob("*.npz") if not p.name.startswith(".")})
    if not names:
        raise UsageError(f"there are no results in {segs}: it is the folder that predict wrote to (-o)")
    return names


def collect(
    names: list[str],
    run: Run,
    folders: Folders,
    score_objects: ScoreObjects | None,
    draw: Callable[[Case, NDArray[Any]], tuple[bytes, ...]],
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
        result = Result(report)
        if report.status != "failed":
            try:
                read_files(result, folders, score_objects, draw)
            except CaseError as error:
                report.fail(str(error))
        yield result


def read_files(
    result: Result,
    folders: Folders,
    score_objects: ScoreObjects | None,
    draw: Callable[[Case, NDArray[Any]], tuple[bytes, ...]],
) -> None:
    """Fill in what the files of a case hold.

    Raises:
        CaseReadError: one of them cannot be read, or they do not go together.

    """
    name = result.report.case
    if Path(name).name != name or "\0" in name:  # report.json may come from anywhere; no other folder is read
        raise CaseReadError(f"{name}: is not the name of a file")
    case = read_case(folders.cases / name)
    segs = read_labels(folders.segs / name, "segs", case.shape)
    gt = read_truth(folders, name, case.shape)
    spacing = None if case.spacing is None else tuple(case.spacing[-len(case.shape) :].tolist())
    measures = {measure.label: measure for measure in measure_labels(segs, spacing)}
    scores: Mapping[int, tuple[float, float]] = {}
    if gt is not None and score_objects is not None:
        scores = score_objects(gt, segs, spacing or (1.0,) * segs.ndim)
    labels = sorted(measures.keys() | scores.keys() | set(case.boxes.labels.tolist()))
    unscored = (None, None)
    result.shape, result.spacing, result.has_truth = case.shape, spacing, gt is not None
    told = {one.label: one for one in result.report.objects}
    for label in labels:
        one, (dsc, nsd) = told.get(label), scores.get(label, unscored)
        confidence, object_name = (one.confidence, one.name) if one else (None, "")
        result.objects.append(ObjectResult(label, measures.get(label), dsc, nsd, confidence, object_name))
    result.report.boxes = result.report.boxes or case.boxes.count
    result.pictures = draw(case, segs)


def read_truth(folders: Folders, name: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Return the case's ground truth, or None where there is none."""
    path = (folders.gts or folders.cases) / name
    if folders.gts is not None and not path.exists():
        return None
    with open_npz(path) as npz:
        if "gts" not in npz:
            return None
    return read_labels(path, "gts", shape)


def read_labels(path: Path, key: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a label map of the image's shape.

    Raises:
        CaseReadError: it cannot be read, or is not one.

    """
    with open_npz(path) as npz:
        labels = npz.read(key)
    if labels.shape != shape or labels.dtype.kind not in "iu":
        raise CaseReadError(f"{path.name}: {key} is {labels.dtype} {labels.shape}; integers {shape} are needed")
    if labels.min() < 0 or labels.max() > MAX_BOXES:
        raise CaseReadError(f"{path.name}: {key} has labels from {labels.min()} to {labels.max()}; 0 to {MAX_BOXES}")
    return labels
