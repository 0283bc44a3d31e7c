"""Scores as a table for programs, a row a case, written and read again."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from repmedsam_infer.errors import UsageError
from repmedsam_infer.evaluation.evaluate import BASELINES, CaseScore, Score
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.system.regular import read_regular

CASE, MODALITY, LABELS, ERROR = "case", "modality", "labels", "error"
MOST_BYTES = 1 << 30


def write_csv(path: Path, cases: Sequence[CaseScore]) -> None:
    """Write a row a case.

    Raises:
        OSError: it could not be written.

    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    methods = list(cases[0].baselines) if cases else []
    columns = ["dsc", "nsd", *(f"{method}_{score}" for method in methods for score in ("dsc", "nsd"))]
    writer.writerow([CASE, MODALITY, LABELS, *columns, ERROR])
    for case in cases:
        scores = [case.score, *case.baselines.values()]
        cells = [f"{value:.6f}" for score in scores for value in (score.dsc, score.nsd)]
        writer.writerow([case.case, case.modality, case.labels, *cells, case.error or ""])
    write_atomic(path, buffer.getvalue().encode("utf-8", "backslashreplace"))


def read_csv(path: Path) -> list[CaseScore]:
    """Return what `write_csv` wrote: scores to six decimals, without objects.

    Raises:
        UsageError: it cannot be read, or is no such table.

    """
    try:
        text = read_regular(path, MOST_BYTES).decode()
        return [read_row(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise UsageError(f"{path} cannot be read as scores ({reason}): remove it, or run evaluate again") from error


def read_row(row: dict[str, str]) -> CaseScore:
    """Raise KeyError, TypeError or ValueError where it is none."""
    baselines: dict[str, Score] = {
        name: Score(float(row[f"{name}_dsc"]), float(row[f"{name}_nsd"])) for name in BASELINES if f"{name}_dsc" in row
    }
    own = Score(float(row["dsc"]), float(row["nsd"]))
    return CaseScore(row[CASE], row[MODALITY], int(row[LABELS]), own, baselines, row[ERROR] or None)
