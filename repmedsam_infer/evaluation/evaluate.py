"""DSC and NSD of a folder of segmentations against ground truth, per case, per modality and overall."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import MAX_BOXES, find_extents, tight_boxes
from repmedsam_infer.case import check_spacing
from repmedsam_infer.errors import CaseReadError, CaseTooLargeError, UsageError, printable
from repmedsam_infer.evaluation.baselines import Baseline, fill_boxes
from repmedsam_infer.evaluation.metrics import nsd_of_flat_volume
from repmedsam_infer.evaluation.object_scores import ObjectScore, score_objects
from repmedsam_infer.evaluation.object_sizes import SizedScore, frame_sizes
from repmedsam_infer.evaluation.truths import find_truths
from repmedsam_infer.io.case_files import is_volume_name, modality_of
from repmedsam_infer.io.npz import open_npz
from repmedsam_infer.shards.shard import Shard

CHALLENGE_DSC_FLOOR = 0.2  # the challenge counts NSD as 0 for cases of a mean DSC up to this
BASELINES: tuple[Baseline, ...] = ("box", "ellipse")


@dataclass(frozen=True)
class Score:
    """Mean DSC and NSD over the labels of a case, or over cases."""

    dsc: float
    nsd: float


@dataclass(frozen=True)
class CaseScore:
    """One case: how its segmentation and each object in it scored, how the baselines did, what was wrong with it.

    Where the ground truth is what is wrong there is no score: all are NaN, and there are no objects.
    """

    case: str
    modality: str
    labels: int
    score: Score
    baselines: dict[str, Score]
    error: str | None = None
    objects: tuple[SizedScore, ...] = ()

    @property
    def left_out(self) -> bool:
        """Whether nothing could be scored, for want of ground truth that can be used."""
        return self.error is not None and math.isnan(self.score.dsc)


def evaluate(
    segs: Path, gts: Path, *, challenge: bool, baselines: bool, shard: Shard | None = None
) -> Iterator[CaseScore]:
    """Score every ground truth of `gts`, a folder or manifest, against the segmentation of the same name in `segs`.

    With a shard, those of its cases. All that have an error: a missing or unreadable segmentation scores 0; a missing
    or unusable ground truth is left out.

    Raises:
        UsageError: a folder is missing or holds no ground truth.

    """
    if not segs.is_dir():
        raise UsageError(f"the folder {segs} does not exist")
    truths = find_truths(gts, shard)
    for truth in truths:
        yield evaluate_case(truth.path, segs / truth.name, truth.name, challenge=challenge, baselines=baselines)
    if shard is not None and shard.index > 1:
        return  # the first one says it of all
    known = {truth.name for truth in (truths if shard is None else find_truths(gts, None))}
    for name in sorted(path.name for path in segs.glob("*.npz") if not path.name.startswith(".")):
        if name not in known:
            yield without_score(
                name, f"{printable(name)}: there is no ground truth of this name in {gts}", baselines=baselines
            )


def evaluate_case(gt_path: Path, seg_path: Path, name: str = "", *, challenge: bool, baselines: bool) -> CaseScore:
    """Never raise for what is in the files: one that cannot be scored leaves no other unscored.

    name: of the case, if it is not that of the ground truth's file.
    """
    name = name or gt_path.name
    try:
        gt, spacing = read_ground_truth(gt_path)
        seg, error = read_segmentation(seg_path, gt_path, gt)
    except CaseReadError as problem:
        return without_score(name, str(problem), baselines=baselines)
    except MemoryError:
        return without_score(name, f"{printable(gt_path.name)}: does not fit into memory", baselines=baselines)
    by_baseline: dict[str, Score] = {}
    if baselines:
        boxes = tight_boxes(gt)
        for kind in BASELINES:
            filled = fill_boxes(gt.shape, boxes, kind)
            by_baseline[kind] = score_labels(gt, filled, spacing, challenge=challenge)
    labels = len(np.unique(gt)) - 1
    scores = object_scores(gt, seg, spacing, challenge=challenge)
    sizes = frame_sizes(find_extents(gt), gt.shape)
    objects = tuple(SizedScore(label, float(sizes[label - 1]), *one) for label, one in scores.items())
    score = mean_of_objects(scores, challenge=challenge)
    return CaseScore(name, modality_of(name), labels, score, by_baseline, error, objects)


def without_score(name: str, error: str, *, baselines: bool) -> CaseScore:
    nothing = Score(math.nan, math.nan)
    return CaseScore(name, modality_of(name), 0, nothing, dict.fromkeys(BASELINES if baselines else (), nothing), error)


def read_segmentation(path: Path, gt_path: Path, gt: NDArray[Any]) -> tuple[NDArray[Any], str | None]:
    """Return labels of the ground truth's shape, and what was wrong: then they are all 0.

    Raises:
        CaseReadError: it is the ground truth that is of another shape than the image beside it; or memory is short.

    """
    try:
        with open_npz(path) as npz:
            seg = npz.read("segs")
    except CaseTooLargeError:  # no fault of the segmentation
        raise
    except CaseReadError as problem:
        return np.zeros_like(gt), str(problem)
    error = None
    if seg.shape != gt.shape or seg.dtype.kind not in "iu":
        check_shape(gt_path, gt)
        error = f"{path.name}: segs is {seg.dtype} {seg.shape}; integers {gt.shape} are needed"
    elif seg.min() < 0 or seg.max() > MAX_BOXES:
        error = f"{path.name}: segs has labels from {seg.min()} to {seg.max()}; 0 to {MAX_BOXES}"
    return (np.zeros_like(gt) if error else seg), error


def check_shape(path: Path, gt: NDArray[Any]) -> None:
    """Raise CaseReadError where the ground truth's file holds an image, too, of another shape."""
    with open_npz(path) as npz:
        shape = npz.read("imgs").shape[: gt.ndim] if "imgs" in npz else gt.shape
    if shape != gt.shape:
        raise CaseReadError(f"{path.name}: gts has shape {gt.shape}, and the image beside it {shape}")


def read_ground_truth(path: Path) -> tuple[NDArray[Any], tuple[float, ...]]:
    """Labels (H, W) or (D, H, W), and mm along each axis: 1 for pictures and where a volume does not say."""
    is_volume = is_volume_name(path.name)
    with open_npz(path) as npz:
        gt = npz.read("gts")
        raw_spacing = npz.read("spacing") if is_volume and "spacing" in npz else np.ones(3)
    if gt.dtype.kind not in "iu" or gt.ndim != (3 if is_volume else 2):
        raise CaseReadError(f"{path.name}: gts is {gt.dtype} {gt.shape}; a label map of the image's shape is needed")
    if gt.size == 0:
        raise CaseReadError(f"{path.name}: gts is empty")
    if gt.min() < 0 or gt.max() > MAX_BOXES:
        raise CaseReadError(f"{path.name}: gts has labels from {gt.min()} to {gt.max()}; 0 to {MAX_BOXES} are possible")
    spacing = check_spacing(raw_spacing) if is_volume else np.ones(2)
    if spacing is None:
        raise CaseReadError(f"{path.name}: spacing {raw_spacing.tolist()} is not three positive numbers")
    return gt, tuple(spacing.tolist())


def score_labels(
    gt: NDArray[np.integer], seg: NDArray[np.integer], spacing: tuple[float, ...], *, challenge: bool
) -> Score:
    """Mean over the labels 1..max of the ground truth; a label that is in neither does not count."""
    return mean_of_objects(object_scores(gt, seg, spacing, challenge=challenge), challenge=challenge)


def object_scores(
    gt: NDArray[np.integer], seg: NDArray[np.integer], spacing: tuple[float, ...], *, challenge: bool
) -> dict[int, ObjectScore]:
    """By label, as of `score_objects`; with `challenge` the NSD of a picture is that of a volume of one slice."""
    flat = challenge and gt.ndim == 2
    return score_objects(gt, seg, spacing, nsd_of_flat_volume if flat else None)


def mean_of_objects(scores: dict[int, ObjectScore], *, challenge: bool) -> Score:
    """Return the score of a case; NaN where it has no object."""
    if not scores:
        return Score(math.nan, math.nan)
    dscs, nsds = zip(*scores.values(), strict=True)
    mean_dsc = float(np.mean(dscs))
    floored = challenge and mean_dsc <= CHALLENGE_DSC_FLOOR
    return Score(mean_dsc, 0.0 if floored else float(np.mean(nsds)))


def mean_score(scores: list[Score]) -> Score:
    """Mean over cases; cases without any label do not count."""
    counted = [s for s in scores if not math.isnan(s.dsc)]
    if not counted:
        return Score(math.nan, math.nan)
    return Score(float(np.mean([s.dsc for s in counted])), float(np.mean([s.nsd for s in counted])))


def table(cases: list[CaseScore]) -> list[dict[str, str]]:
    """Return a row a modality, then `mean` over modalities, then `all cases`; with columns of baselines if scored.

    Cases that were left out are in none.
    """
    cases = [case for case in cases if not case.left_out]
    modalities = sorted({case.modality for case in cases})
    methods = ["score", *cases[0].baselines] if cases else ["score"]

    def scores_of(group: list[CaseScore], method: str) -> list[Score]:
        return [case.score if method == "score" else case.baselines[method] for case in group]

    groups = {m: [case for case in cases if case.modality == m] for m in modalities}
    means = {method: {m: mean_score(scores_of(group, method)) for m, group in groups.items()} for method in methods}
    overall = {
        "mean over modalities": {method: mean_score(list(means[method].values())) for method in methods},
        "all cases": {method: mean_score(scores_of(cases, method)) for method in methods},
    }

    def row(name: str, group: list[CaseScore], scores: dict[str, Score]) -> dict[str, str]:
        cells = {
            "modality": printable(name).replace("|", "/"),
            "cases": str(len(group)),
            "objects": str(sum(case.labels for case in group)),
        }
        for method, score in scores.items():
            prefix = "" if method == "score" else f"{method} "
            cells[f"{prefix}DSC"], cells[f"{prefix}NSD"] = f"{score.dsc:.4f}", f"{score.nsd:.4f}"
        return cells

    rows = [row(m, groups[m], {method: means[method][m] for method in methods}) for m in modalities]
    return rows + [row(name, cases, scores) for name, scores in overall.items()]
