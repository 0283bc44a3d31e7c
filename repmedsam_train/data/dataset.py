"""Batches of training samples, drawn on the device; rare modalities more often than their share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch

from repmedsam_infer.errors import UsageError
from repmedsam_train.data.augmentation import Augmentation
from repmedsam_train.data.batch import Batch
from repmedsam_train.data.frequency import draw_probabilities
from repmedsam_train.data.labelled import SIDE
from repmedsam_train.data.pool import VARIANTS, Pool, build_pool
from repmedsam_train.data.sampler.chance import Chance
from repmedsam_train.data.sampler.entries import draw_entries
from repmedsam_train.data.sampler.sample import draw_batch
from repmedsam_train.data.stored_cases import find_training_cases
from repmedsam_train.data.stream import Part, Parts, PoolStream

POOL_MB = 8000  # of pixels and labels in memory, without drawn cases (pool.py)
DRAWN_CASES = 256  # of drawn.py


class TrainingSet:
    """Training cases; batch `step` is the same whenever it is asked for, on the same kind of device.

    A case is drawn with probability proportional to how many cases its modality has to the power of `balance`, times
    what `emphasis` says of the modality, and within the modality to the square root of its data set's: rare modalities
    are drawn more often than their share, common ones still more often than rare.
    A volume counts as VISITS cases, as it has many slices (paper section 3.2). Cases are read when the first batch is
    asked for. Where they take more than `pool_mb` MB, random parts of them follow each other in memory (stream.py).
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
        drawn: bool = False,
        pool_mb: float = POOL_MB,
        side: int = SIDE,
    ) -> None:
        """Take npz files, cases of shards, or a folder of either.

        With `epochs` nothing is drawn: an epoch is every picture once and every volume VISITS times, in an order of
        its own. With `drawn` DRAWN_CASES drawn cases are in memory, too. Cases longer than `side` pixels are reduced
        to it.

        Raises:
            UsageError: the folder holds no cases, or `emphasis` names a modality that no case is of.

        """
        self.paths = find_training_cases(cases) if isinstance(cases, Path) else list(cases)
        self.device = device
        self.seed = seed
        self.augmentation = augmentation or Augmentation()
        self.focus = focus
        self.epochs = epochs
        self.side = side
        self.probabilities = draw_probabilities(self.paths, balance, emphasis)
        ways = VARIANTS if self.augmentation.skin or self.augmentation.dense else 1
        self.parts = Parts(self.paths, side, seed, int(pool_mb * 1e6), ways)
        self.drawn_cases = DRAWN_CASES if drawn else 0
        self.pools = PoolStream(self.build)
        self.instead: dict[Part, int] = {}  # of each part that turned out to hold no object the one that is drawn from

    def batch(
        self,
        step: int,
        batch_size: int,
        size: int,
        boxes_per_image: int,
        drawn: float = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> Batch:
        """`batch_size` samples, images of `size` pixels; each is with probability `drawn` of a drawn case, else of a
        real one; for that the set has to be made with `drawn`. Every rank of `ranks` processes gets others; in epochs
        they share the visits to cases.

        Raises:
            CaseReadError: a case cannot be read.
            UsageError: no case holds an object, or a shard cannot be read.
            ValueError: drawn cases are asked for, and there are none.

        """
        if drawn and not self.drawn_cases:
            raise ValueError("this set has no drawn cases: make it with drawn=True")
        visited = None
        if self.epochs:
            part, following, places = self.parts.visits_at(step, batch_size, rank, ranks)
            visited = torch.from_numpy(places)
            if self.device.type == "cuda":  # without waiting for it
                visited = visited.pin_memory().to(self.device, non_blocking=True)
        else:
            part, following = self.parts.at(step, rank)
        pool = None if part in self.instead else self.pools.pool(part, following)
        if pool is None:
            pool, visited = self.another(part), None
        chance = Chance(self.device, self.seed, step, rank)
        slices, anchors = draw_entries(pool, batch_size, chance, drawn, visited)
        return draw_batch(pool, slices, anchors, size, boxes_per_image, self.augmentation, chance, focus=self.focus)

    def another(self, part: Part) -> Pool:
        """Return the pool of the first part with an object after `part`, which has none.

        Raises:
            UsageError: there is none in two rounds.

        """
        first = self.instead.get(part, part.number + 1)
        for number in range(first, first + (1 if self.parts.whole else 2 * len(self.parts.units))):
            pool = self.pools.pool(self.parts.part(number, part.rank), self.parts.part(number + 1, part.rank))
            if pool is not None:
                self.instead[part] = number
                return pool
        raise UsageError("none of the cases holds an object: there is nothing to train on")

    def build(self, part: Part) -> Pool | None:
        """Read the cases of a part."""
        return build_pool(
            [self.paths[i] for i in part.cases],
            self.probabilities[part.cases],
            self.device,
            side=self.side,
            augmentation=self.augmentation,
            seed=self.seed,
            drawn=self.drawn_cases,
        )
