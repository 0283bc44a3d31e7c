"""Networks next to each other on the same held-out cases, with the filled box and its ellipse (paper table 4)."""

from collections.abc import Mapping
from pathlib import Path

from repmedsam_infer.evaluation.evaluate import BASELINES, evaluate, table

SCORES = ("DSC", "NSD")


def compare(segmentations: Mapping[str, Path], gts: Path) -> list[dict[str, str]]:
    """Rows as of `evaluate.table`, with DSC and NSD of every named folder of segmentations, then of the baselines.

    Raises:
        UsageError, CaseReadError: as `evaluate` does.

    """
    rows: list[dict[str, str]] = []
    last = len(segmentations) - 1
    for position, (name, folder) in enumerate(segmentations.items()):
        scored = table(list(evaluate(folder, gts, challenge=False, baselines=position == last)))
        if not rows:
            rows = [{key: row[key] for key in ("modality", "cases", "objects")} for row in scored]
        for row, cells in zip(rows, scored, strict=True):
            row.update({f"{name} {score}": cells[score] for score in SCORES})
            if position == last:
                row.update({f"{kind} {score}": cells[f"{kind} {score}"] for kind in BASELINES for score in SCORES})
    return rows
