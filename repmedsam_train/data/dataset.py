"""Batches of training samples from challenge npz files, volumes and rare modalities drawn more often."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.case_files import find_cases, is_volume_name, modality_of
from repmedsam_train.data.augmentation import Augmentation
from repmedsam_train.data.batch import Batch
from repmedsam_train.data.drawn import draw_case
from repmedsam_train.data.mammogram import findings
from repmedsam_train.data.sampling import (
    Sample,
    TrainingCase,
    draw_sample,
    read_training_case,
    training_case,
)

EPOCHS = 1 << 31  # a step that no run reaches: random numbers of epochs are apart from those of steps
VISITS = 4  # of a volume for one of a picture


def visits_of(paths: Sequence[Path]) -> int:
    """Return how many visits to cases an epoch is: one to a picture, VISITS to a volume."""
    return sum(VISITS if is_volume_name(path.name) else 1 for path in paths)


class TrainingSet:
    """Training cases; batch `step` is the same whenever it is asked for.

    A case is drawn with probability proportional to how many cases its modality has to the power of `balance`, times
    what `emphasis` says of the modality, and within the modality to the square root of its data set's: rare modalities
    are drawn more often than their share, common ones still more often than rare.
    A volume counts as VISITS cases, as it has many slices (paper section 3.2). Cases stay in memory once read.
    """

    def __init__(
        self,
        cases: Path | Sequence[Path],
        device: torch.device,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        *,
        focus: bool = True,
        balance: float = 0.5,
        emphasis: Mapping[str, float] = MappingProxyType({}),
        epochs: bool = False,
    ) -> None:
        """With `epochs` nothing is drawn: an epoch is every picture once and every volume VISITS times, in an order of
        its own.
        """
        paths = find_cases(cases) if isinstance(cases, Path) else list(cases)
        self.paths = paths
        self.device = device
        self.epochs = epochs
        self.visits = [i for i, path in enumerate(paths) for _ in range(VISITS if is_volume_name(path.name) else 1)]
        self.seed = seed
        self.augmentation = augmentation or Augmentation()
        self.focus = focus
        self.orders: dict[int, NDArray[np.int64]] = {}  # of the epoch that is on
        self.probabilities = draw_probabilities(self.paths, balance, emphasis)
        self.cases: dict[int, TrainingCase] = {}

    def case(self, index: int) -> TrainingCase:
        if index not in self.cases:
            self.cases[index] = read_training_case(self.paths[index])
        return self.cases[index]

    def drawn_index(self, rng: np.random.Generator) -> int:
        return int(rng.choice(len(self.paths), p=self.probabilities))

    def visited_index(self, visit: int) -> int:
        """Return which case visit `visit`, from 0 through all epochs, is to."""
        epoch, place = divmod(visit, len(self.visits))
        if epoch not in self.orders:
            self.orders = {epoch: np.random.default_rng([self.seed, EPOCHS, epoch]).permutation(self.visits)}
        return int(self.orders[epoch][place])

    def real_case(self, index: int, rng: np.random.Generator) -> TrainingCase:
        """Return a case; of a mammogram at times with skin or dense tissue in place of what is marked."""
        case = self.case(index)
        if modality_of(self.paths[index].name) != "Mammography":
            return case
        objects = findings(case.imgs[0], rng, self.augmentation.skin, self.augmentation.dense)
        return training_case(case.imgs, objects[None]) if objects.any() else case

    def batch(
        self, step: int, batch_size: int, size: int, boxes_per_image: int, drawn: float = 0, rank: int = 0
    ) -> Batch:
        """`batch_size` samples; each is with probability `drawn` of a drawn case, else of a real one. Other ranks get
        other samples.
        """
        rng = np.random.default_rng([self.seed, step, rank])
        samples: list[Sample] = []
        visits = iter(range(step * batch_size, (step + 1) * batch_size) if self.epochs else ())
        while len(samples) < batch_size:
            if rng.random() < drawn:
                case = training_case(*draw_case(rng))
            else:
                visit = next(visits, None)  # a case without objects has another one drawn in its place
                case = self.real_case(self.drawn_index(rng) if visit is None else self.visited_index(visit), rng)
            sample = draw_sample(case, rng, size, boxes_per_image, self.augmentation, focus=self.focus)
            if sample is not None:
                samples.append(sample)
        count = batch_size * boxes_per_image
        side = samples[0].prompted.masks.shape[-1]
        boxes, rois = np.zeros((count, 4), np.float32), np.zeros((count, 4), np.float32)
        masks, covered = np.zeros((count, side, side), np.float32), np.zeros((count, side, side), np.float32)
        valid = np.zeros(count, bool)
        for i, sample in enumerate(samples):
            part = sample.prompted
            here = slice(i * boxes_per_image, i * boxes_per_image + len(part.boxes))
            boxes[here], rois[here], valid[here] = part.boxes, part.rois, True
            masks[here], covered[here] = part.masks / 255, part.covered / 255
        arrays = (np.stack([s.image for s in samples]), boxes, rois, masks, covered)
        index = np.repeat(np.arange(batch_size), boxes_per_image)
        return Batch(*(torch.from_numpy(x).to(self.device) for x in (*arrays, index, valid)))


def draw_probabilities(
    paths: list[Path], balance: float = 0.5, emphasis: Mapping[str, float] = MappingProxyType({})
) -> NDArray[np.float64]:
    """Return what `TrainingSet` says of how often each case is drawn.

    Raises:
        UsageError: `emphasis` names a modality that no case is of.

    """
    datasets = [p.stem.rsplit("_", 1)[0] for p in paths]
    visits = np.array([VISITS if is_volume_name(p.name) else 1 for p in paths])
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
