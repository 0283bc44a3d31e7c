"""How often each case is drawn: rare modalities more often than their share; or every case alike, epoch after epoch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.case_files import dataset_of, is_volume_name, modality_of

EPOCHS = 1 << 31  # a step that no run reaches: random numbers of epochs are apart from those of steps
VISITS = 4  # of a volume for one of a picture


def visits_of(paths: Sequence[Path]) -> int:
    """Return how many visits to cases an epoch is: one to a picture, VISITS to a volume."""
    return int(visits_each(paths).sum())


def visits_each(paths: Sequence[Path]) -> NDArray[np.int64]:
    return np.array([VISITS if is_volume_name(path.name) else 1 for path in paths], np.int64)


def visit_order(paths: Sequence[Path], seed: int, epoch: int) -> NDArray[np.int64]:
    """(V,) numbers of cases: every picture once and every volume VISITS times, in an order of the epoch's own."""
    visits = np.repeat(np.arange(len(paths)), visits_each(paths))
    return np.random.default_rng([seed, EPOCHS, epoch]).permutation(visits)


def draw_probabilities(
    paths: Sequence[Path], balance: float = 0.5, emphasis: Mapping[str, float] = MappingProxyType({})
) -> NDArray[np.float64]:
    """Return what `TrainingSet` says of how often each case is drawn.

    Raises:
        UsageError: `emphasis` names a modality that no case is of.

    """
    datasets = [dataset_of(p.name) for p in paths]
    visits = visits_each(paths)
    in_dataset: defaultdict[str, int] = defaultdict(int)
    for dataset, count in zip(datasets, visits.tolist(), strict=True):
        in_dataset[dataset] += count
    in_modality: defaultdict[str, int] = defaultdict(int)
    # Of each modality, the sum over its data sets of the roots of their sizes.
    roots: defaultdict[str, float] = defaultdict(float)
    modality_of_dataset = {dataset: modality_of(p.name) for dataset, p in zip(datasets, paths, strict=True)}
    unknown = sorted(emphasis.keys() - set(modality_of_dataset.values()))
    if unknown:
        raise UsageError(f"emphasis names {', '.join(unknown)}, of which there is no training case")
    for dataset, modality in modality_of_dataset.items():
        in_modality[modality] += in_dataset[dataset]
        roots[modality] += in_dataset[dataset] ** 0.5
    shares = {
        dataset: emphasis.get(modality, 1)
        * in_modality[modality] ** balance
        * in_dataset[dataset] ** 0.5
        / roots[modality]
        for dataset, modality in modality_of_dataset.items()
    }
    weights = visits * [shares[dataset] / in_dataset[dataset] for dataset in datasets]
    return weights / weights.sum()
