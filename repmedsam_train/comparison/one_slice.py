"""Volumes segmented from one box on one slice of each object, beside the same volumes with the whole 3D boxes given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import Boxes
from repmedsam_infer.case import Case, read_case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.evaluation.evaluate import read_ground_truth
from repmedsam_infer.evaluation.metrics import dsc
from repmedsam_infer.io.case_files import dataset_of, find_cases, is_volume_name
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch

Labels = NDArray[np.integer]
Where = Literal["largest", "middle"]  # the slice of a box: where the object is largest, or in its middle
WITHIN = (0, 1, 2)  # slices that an end may be off


@dataclass(frozen=True)
class OneSliceScore:
    """One object.

    off: by how many slices its lower and its upper end were missed.
    dsc: from the box on one slice. given: with the whole 3D box. followed: with that, too, and `--propagation follow`.
    """

    dataset: str
    off: tuple[int, int]
    dsc: float
    given: float
    followed: float


def score_one_slice_boxes(folder: Path, engine: Engine, where: Where) -> Iterator[OneSliceScore]:
    """Score every object of every volume of a folder; boxes are tight.

    Raises:
        UsageError: there are no cases.
        CaseReadError: one cannot be read.

    """
    for path in find_cases(folder):
        if not is_volume_name(path.name):
            continue
        case, (gts, _) = read_case(path), read_ground_truth(path)
        seeded = on_one_slice(case, gts, where)
        if not len(seeded.boxes.labels):
            continue
        found = segment(seeded, engine, Stopwatch())
        whole = [segment(case, engine, Stopwatch(), "auto", way).labels for way in ("ellipsoid", "follow")]
        for label, corners in zip(seeded.boxes.labels.tolist(), found.corners.tolist(), strict=True):
            truth = gts == label
            present = np.flatnonzero(truth.any((1, 2))).tolist()
            off = abs(round(corners[2]) - present[0]), abs(round(corners[5]) - present[-1])
            scores = [dsc(truth, labels == label) for labels in (found.labels, *whole)]
            yield OneSliceScore(dataset_of(path.name), off, *scores)


def on_one_slice(case: Case, gts: Labels, where: Where) -> Case:
    """Return the same volume with a tight box on one slice of each object."""
    corners, labels = [], []
    for label in case.boxes.labels.tolist():
        areas = (gts == label).sum((1, 2))
        present = np.flatnonzero(areas)
        if not len(present):
            continue
        middle = (present[0] + present[-1]) / 2
        z = int(areas.argmax() if where == "largest" else present[np.abs(present - middle).argmin()])
        rows, columns = np.nonzero(gts[z] == label)
        corners.append([columns.min(), rows.min(), z, columns.max(), rows.max(), z])
        labels.append(label)
    stacked = np.array(corners, np.float64).reshape(-1, 6)
    return replace(case, boxes=Boxes(stacked, np.array(labels, np.int64), case.boxes.count, frozenset(labels)))


def one_slice_table(scores: Sequence[OneSliceScore]) -> list[dict[str, str]]:
    """Rows by data set, and their mean; all objects of a data set count alike."""
    by_set = {name: [one for one in scores if one.dataset == name] for name in sorted({one.dataset for one in scores})}
    rows, sums = [], []
    for name, some in by_set.items():
        ends = np.array([one.off for one in some])
        numbers = [
            *(float((ends <= within).mean()) for within in WITHIN),
            *(float(np.mean([getattr(one, kind) for one in some])) for kind in ("dsc", "given", "followed")),
        ]
        sums.append(numbers)
        rows.append(row(name, len(some), numbers))
    return [*rows, row("mean over data sets", len(scores), np.mean(sums, axis=0).tolist())]


def row(name: str, objects: int, numbers: Sequence[float]) -> dict[str, str]:
    heads = ["ends right", *(f"within {within}" for within in WITHIN[1:])]
    heads += ["DSC, one slice", "DSC, 3D box", "DSC, 3D box, follow"]
    shown = [f"{number:.2f}" for number in numbers[:3]] + [f"{number:.4f}" for number in numbers[3:]]
    return {"data set": name, "objects": str(objects), **dict(zip(heads, shown, strict=True))}
