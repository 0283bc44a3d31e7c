"""Masks of the held-out cases by one network, and how good they are: both are kept, and not made again."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from repmedsam_infer.case import Case, Segmentation, read_case, write_segmentation
from repmedsam_infer.engines.torch import TorchEngine
from repmedsam_infer.evaluation.evaluate import BASELINES, CaseScore, Score, evaluate_case, mean_score
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_train.table4.networks import OnDevice
from repmedsam_train.table4.plan import Show

SCORES = "scores.json"
MASKS = "masks"
NETWORK = "network"  # the method of what is in MASKS; the others are BASELINES
SHOWN_EVERY = 20  # cases

Segmenter = Callable[[Case], Segmentation]


@dataclass(frozen=True)
class Scores:
    """Mean DSC and NSD over modalities, and of each modality over its cases."""

    mean: Score
    modalities: dict[str, Score]


def segmenter_of(network: OnDevice) -> Segmenter:
    """Return what segments by a network as `repmedsam-train predict` does, without close views."""
    engine = TorchEngine(network)
    return lambda case: segment(case, engine, Stopwatch(), "off").labels


def make_masks(cases: Sequence[Path], folder: Path, segmenter: Segmenter, show: Show) -> None:
    """Write the labels of each case into `folder`; those that are there are not made again.

    Raises:
        CaseReadError: a case cannot be read.
        CaseWriteError: its labels cannot be written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [path for path in cases if not (folder / path.name).is_file()]
    for number, path in enumerate(missing, 1):
        write_segmentation(folder / path.name, segmenter(read_case(path)))
        if number % SHOWN_EVERY == 0 or number == len(missing):
            show(f"{folder.parent.name}: masks of {number} of {len(missing)} cases")


def kept_scores(folder: Path, cases: Sequence[Path]) -> dict[str, Scores] | None:
    """Return what `score_masks` gave for just these cases, if it did."""
    try:
        kept = json.loads((folder / SCORES).read_text())
        if kept["cases"] != [path.name for path in cases]:
            return None
        return {
            method: Scores(Score(**one["mean"]), {name: Score(**part) for name, part in one["modalities"].items()})
            for method, one in kept["scores"].items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or torn: they are made again


def score_masks(cases: Sequence[Path], folder: Path, *, baselines: bool) -> dict[str, Scores]:
    """Score `folder`/masks; returns scores by method: NETWORK, and with `baselines` those of BASELINES."""
    scored = [evaluate_case(path, folder / MASKS / path.name, challenge=False, baselines=baselines) for path in cases]
    scored = [one for one in scored if not one.left_out]
    scores = {NETWORK: summary(scored, NETWORK)}
    if baselines:
        scores.update({kind: summary(scored, kind) for kind in BASELINES})
    content = {"cases": [path.name for path in cases], "scores": {name: asdict(one) for name, one in scores.items()}}
    write_atomic(folder / SCORES, (json.dumps(content, indent=2) + "\n").encode())
    return scores


def summary(scored: Sequence[CaseScore], method: str) -> Scores:
    names = sorted({one.modality for one in scored})

    def of(modality: str) -> list[Score]:
        those = [one for one in scored if one.modality == modality]
        return [one.score if method == NETWORK else one.baselines[method] for one in those]

    modalities = {name: mean_score(of(name)) for name in names}
    return Scores(mean_score(list(modalities.values())), modalities)
