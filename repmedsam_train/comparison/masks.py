"""Segmentations of the same held-out cases: scores next to each other (paper table 4), and how far two sets agree.

Agreement is by object, of a precision with fp32, say: scores against the ground truth can stay equal while masks
change, and masks do where a network is unsure of a whole object.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import find_extents
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.evaluation.evaluate import BASELINES, evaluate, read_ground_truth
from repmedsam_infer.evaluation.evaluate import table as score_table
from repmedsam_infer.evaluation.object_scores import score_objects
from repmedsam_infer.io.case_files import dataset_of, find_cases, is_volume_name
from repmedsam_infer.io.npz import open_npz

SCORES = ("DSC", "NSD")
THRESHOLDS = (0.95, 0.85, 0.8)  # objects below are counted


@dataclass(frozen=True)
class ObjectAgreement:
    """One object of the ground truth: IoU of both masks of it, and the DSC of each with the truth."""

    case: str
    label: int
    iou: float
    reference_dsc: float
    other_dsc: float

    @property
    def dataset(self) -> str:
        return dataset_of(self.case)


def agreements(reference: Path, other: Path, gts: Path) -> Iterator[ObjectAgreement]:
    """Every object of every case in `gts`, whose segmentations are in `reference` and in `other`.

    Raises:
        UsageError: there are no cases.
        CaseReadError: a file is missing or cannot be read.

    """
    for path in find_cases(gts):
        gt, spacing = read_ground_truth(path)
        one, two = (read_labels(folder / path.name, gt.shape) for folder in (reference, other))
        first, second = (score_objects(gt, segs, spacing) for segs in (one, two))
        for label in np.flatnonzero(find_extents(gt).counts).tolist():
            iou = overlap(one == label + 1, two == label + 1)
            yield ObjectAgreement(path.name, label + 1, iou, first[label + 1].dsc, second[label + 1].dsc)


def read_labels(path: Path, shape: tuple[int, ...]) -> NDArray[np.integer]:
    with open_npz(path) as npz:
        segs = npz.read("segs")
    if segs.shape != shape or segs.dtype.kind not in "iu":
        raise CaseReadError(f"{path}: segs is {segs.dtype} {segs.shape}; integers {shape} are needed")
    return segs


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 where both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def agreement_table(objects: list[ObjectAgreement]) -> list[dict[str, str]]:
    """Return a row a data set, then pictures, volumes, and all."""
    groups = {name: [one for one in objects if one.dataset == name] for name in sorted({o.dataset for o in objects})}
    groups["pictures"] = [one for one in objects if not is_volume_name(one.case)]
    groups["volumes"] = [one for one in objects if is_volume_name(one.case)]
    groups["all"] = objects
    return [row(name, group) for name, group in groups.items() if group]


def row(name: str, group: list[ObjectAgreement]) -> dict[str, str]:
    ious = np.array([one.iou for one in group])
    reference, other = (np.mean([getattr(one, field) for one in group]) for field in ("reference_dsc", "other_dsc"))
    return {
        "data set": name,
        "objects": str(len(group)),
        "IoU": f"{ious.mean():.4f}",
        "worst": f"{ious.min():.4f}",
        **{f"below {threshold}": str((ious < threshold).sum()) for threshold in THRESHOLDS},
        "reference DSC": f"{reference:.4f}",
        "other DSC": f"{other:.4f}",
    }


def compare(segmentations: Mapping[str, Path], gts: Path) -> list[dict[str, str]]:
    """Rows as of `repmedsam evaluate`, with DSC and NSD of every named folder of segmentations, then of the baselines.

    Raises:
        UsageError, CaseReadError: as `evaluate` does.

    """
    rows: list[dict[str, str]] = []
    last = len(segmentations) - 1
    for position, (name, folder) in enumerate(segmentations.items()):
        scored = score_table(list(evaluate(folder, gts, challenge=False, baselines=position == last)))
        if not rows:
            rows = [{key: row[key] for key in ("modality", "cases", "objects")} for row in scored]
        for row, cells in zip(rows, scored, strict=True):
            row.update({f"{name} {score}": cells[score] for score in SCORES})
            if position == last:
                row.update({f"{kind} {score}": cells[f"{kind} {score}"] for kind in BASELINES for score in SCORES})
    return rows
