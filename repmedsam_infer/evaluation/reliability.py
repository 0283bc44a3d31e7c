"""Is a confidence of 0.8 a DSC of 0.8? And does low confidence find the masks that are poor?"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POOR = 0.7  # DSC below which a mask should be found
BINS = 10

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One object: the DSC that was estimated, and the true one."""

    modality: str
    confidence: float
    dsc: float


def reliability_table(estimates: Iterable[Estimate]) -> list[dict[str, str]]:
    """Return a row a modality and one of all objects.

    ECE is the expected calibration error: objects are put into ten bins by confidence, and it is the mean over objects
    of how far the mean DSC of a bin lies from its mean confidence. AUROC is the chance that of a mask under POOR and
    one above the former has the lower confidence.
    """
    every = list(estimates)
    groups = {name: [one for one in every if one.modality == name] for name in sorted({one.modality for one in every})}
    return [reliability_row(name, group) for name, group in (*groups.items(), ("all objects", every)) if group]


def reliability_row(name: str, group: list[Estimate]) -> dict[str, str]:
    confidence, dsc = (np.array([getattr(one, key) for one in group]) for key in ("confidence", "dsc"))
    area = auroc(confidence, dsc < POOR)
    return {
        "modality": name,
        "objects": str(len(group)),
        "mean confidence": f"{confidence.mean():.3f}",
        "mean DSC": f"{dsc.mean():.3f}",
        "ECE": f"{calibration_error(confidence, dsc):.3f}",
        f"DSC < {POOR:g}": str(int((dsc < POOR).sum())),
        "AUROC": "" if np.isnan(area) else f"{area:.3f}",
    }


def bins_table(estimates: Iterable[Estimate]) -> list[dict[str, str]]:
    """Return the reliability diagram: a row a bin of confidence."""
    every = list(estimates)
    confidence, dsc = (np.array([getattr(one, key) for one in every]) for key in ("confidence", "dsc"))
    which = bins_of(confidence)
    return [
        {
            "confidence": f"{i / BINS:.1f} to {(i + 1) / BINS:.1f}",
            "objects": str(int((which == i).sum())),
            "mean confidence": f"{confidence[which == i].mean():.3f}",
            "mean DSC": f"{dsc[which == i].mean():.3f}",
        }
        for i in range(BINS)
        if (which == i).any()
    ]


def bins_of(confidence: F64) -> NDArray[np.intp]:
    """(N,) of 0..1 -> their bins, 0 to BINS - 1."""
    return np.minimum((confidence * BINS).astype(np.intp), BINS - 1)


def calibration_error(confidence: F64, dsc: F64) -> float:
    """Return the expected calibration error of (N,) and (N,)."""
    which = bins_of(confidence)
    apart = [abs((confidence[which == i] - dsc[which == i]).sum()) for i in range(BINS)]
    return float(np.sum(apart) / len(dsc))


def auroc(confidence: F64, poor: NDArray[np.bool_]) -> float:
    """Return the area under the curve, ties counting half; NaN where all masks are poor, or none is."""
    if poor.all() or not poor.any():
        return float("nan")
    from scipy.stats import rankdata

    ranks = rankdata(-confidence)
    count = int(poor.sum())
    return float((ranks[poor].sum() - count * (count + 1) / 2) / (count * (len(poor) - count)))
