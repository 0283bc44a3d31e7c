"""Fit what is stored with weights (calibration.py of repmedsam_infer) to training cases with tight boxes.

In training boxes are jittered and often loose; those that people and benchmarks give mostly are tight, and sections of
volumes are guesses. So the logits' best threshold is not exactly 0, and differs between both. Each value is chosen in
turn, the others staying as they are, by segmenting the cases as `predict` does.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case, read_case
from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.confidence import ConfidenceModel
from repmedsam_infer.engines.engine import Decoded, Engine
from repmedsam_infer.engines.precision import Precision
from repmedsam_infer.evaluation.evaluate import read_ground_truth, score_labels
from repmedsam_infer.io.case_files import find_cases, is_volume_name, modality_of
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_train.data.split import some_of_each_dataset

F32 = NDArray[np.float32]
PER_DATASET = 8
TIE = 0.0002  # scores that differ by less do not favour a value
OFFSETS = (-0.75, -0.5, -0.25, -0.125, 0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
# The order in which values are chosen, and what is tried of each.
PICTURE_STEPS: tuple[tuple[str, tuple[float, ...]], ...] = (("picture_offset", OFFSETS),)
VOLUME_STEPS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("slice_smoothing", (0.0, 0.125, 0.25, 0.3)),
    ("volume_offset", OFFSETS),
    ("smallest_part", (0.0, 0.05, 0.1, 0.2, 0.35, 0.5)),
)


@dataclass(frozen=True)
class Tried:
    """One value of one field, and how it scored: the mean over modalities of DSC and NSD."""

    field: str
    value: float
    dsc: float
    nsd: float

    @property
    def score(self) -> float:
        return (self.dsc + self.nsd) / 2


@dataclass(frozen=True)
class Labelled:
    """A case with its ground truth, and the network's answers on it."""

    case: Case
    gts: NDArray[np.integer]
    spacing: tuple[float, ...]
    engine: "Replaying"


class Replaying:
    """An `Engine` in front of another one, which is asked once; its answers are repeated afterwards."""

    name, version = "replaying", ""
    precision: Precision = "fp32"
    confidence: ConfidenceModel | None = None  # boxes are tight, and masks as these

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.grid, self.focus, self.calibration = engine.grid, engine.focus, engine.calibration
        self.workers = [self]
        self.answers: dict[bytes, Decoded] = {}  # by image and boxes

    def encode(self, image: F32) -> F32:
        return image  # it is encoded where the answer is not known

    def decode(self, embedding: F32, boxes: F32, rois: F32) -> Decoded:
        key = hashlib.sha256(embedding.tobytes() + boxes.tobytes()).digest()
        if key not in self.answers:
            self.answers[key] = self.engine.decode(self.engine.encode(embedding), boxes, rois)
        known = self.answers[key]
        return Decoded(known.low_res_logits.copy(), known.iou.copy())


def calibrate(
    engine: Engine, cases: Path, show: Callable[[Tried], None], per_dataset: int = PER_DATASET
) -> Calibration:
    """Return the values that score best on up to `per_dataset` cases of each data set (the names before their numbers).

    Values of which there are no cases to fit them to, pictures or volumes, stay neutral. `show` gets every value tried.

    Raises:
        UsageError: there are no cases.
        CaseReadError: a case or its ground truth cannot be read.

    """
    chosen = some_of_each_dataset(find_cases(cases), per_dataset, seed=0)
    fitted = Calibration()
    for volumes, steps in ((False, PICTURE_STEPS), (True, VOLUME_STEPS)):
        group = [labelled(path, engine) for path in chosen if is_volume_name(path.name) == volumes]
        if group:
            for field, values in steps:
                tried = [try_value(group, fitted, field, value) for value in values]
                for one in tried:
                    show(one)
                fitted = replace(fitted, **{field: best_value(tried)})
    return fitted


def best_value(tried: Sequence[Tried]) -> float:
    """Of those that score within TIE of the best, the one nearest to 0, which changes nothing."""
    best = max(one.score for one in tried)
    return min((one.value for one in tried if one.score > best - TIE), key=abs)


def labelled(path: Path, engine: Engine) -> Labelled:
    gts, spacing = read_ground_truth(path)
    return Labelled(read_case(path), gts, spacing, Replaying(engine))


def try_value(group: Sequence[Labelled], fitted: Calibration, field: str, value: float) -> Tried:
    """Segment and score `group` with one field changed."""
    calibration = replace(fitted, **{field: value})
    by_modality: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in group:
        one.engine.calibration = calibration
        segs = segment(one.case, one.engine, Stopwatch()).labels
        score = score_labels(one.gts, segs, one.spacing, challenge=False)
        if not np.isnan(score.dsc):
            by_modality[modality_of(one.case.name)].append((score.dsc, score.nsd))
    dsc, nsd = np.mean([np.mean(scores, 0) for scores in by_modality.values()], 0).tolist()
    return Tried(field, value, dsc, nsd)
