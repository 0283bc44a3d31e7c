"""Pools that follow each other, where the cases do not all fit into one.

A pool holds some shards (of npz files: some hundreds of them), drawn at random, as many as fit. While batches are drawn
from it the next one is read in a thread, so that two are in memory at times.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from repmedsam_train.data.frequency import EPOCHS, visit_order, visits_of
from repmedsam_train.data.packing.shards import is_packed
from repmedsam_train.data.pool import Pool
from repmedsam_train.data.stored_cases import size_in_pool

Numbers = NDArray[np.int64]

ROUNDS = EPOCHS + 1  # a step that no run reaches: random numbers of rounds are apart from those of steps and epochs
STEPS = 256  # that are drawn from a pool, before the next one comes
TOGETHER = 256  # npz files that are taken or left together, as if they were a shard


@dataclass(frozen=True)
class Part:
    """Cases, by number, which make a pool: part `number`, counted from the first step of `rank` on."""

    number: int
    rank: int
    cases: Numbers = field(compare=False, repr=False)


class Parts:
    """Which cases are in memory at which step: all, or where that is too much random parts of them.

    A round is all shards once, in an order of its own, shared out among as few parts of about even size as hold at most
    `most_bytes` each; a shard that alone is larger is a part. Every rank has rounds of its own, except in epochs, where
    ranks share visits to the same cases.
    """

    def __init__(self, paths: Sequence[Path], side: int, seed: int, most_bytes: int, mammogram_ways: int = 1) -> None:
        """`mammogram_ways`: how many label maps a mammogram has in a pool, at most."""
        self.paths = paths
        self.side = side
        self.seed = seed
        self.most_bytes = most_bytes
        self.mammogram_ways = mammogram_ways
        self.last_round: tuple[tuple[int, int], list[Numbers]] | None = None
        self.parts_in: dict[tuple[int, int], int] = {}  # how many, of a round of a rank
        self.ends: dict[int, list[int]] = {}  # steps before each part's end, by visits of a step
        self.last_order: tuple[int, Numbers] | None = None

    @cached_property
    def sizes(self) -> Numbers:
        """(C,) bytes of each case in a pool, at most."""
        return np.array([size_in_pool(path, self.side, self.mammogram_ways) for path in self.paths], np.int64)

    @cached_property
    def whole(self) -> bool:
        """Whether all cases fit at once."""
        return bool(self.sizes.sum() <= self.most_bytes)

    @cached_property
    def visits(self) -> int:
        """Visits of an epoch where all is one part."""
        return visits_of(self.paths)

    @cached_property
    def units(self) -> list[Numbers]:
        """Cases that are taken or left together: those of a shard; of npz files TOGETHER, drawn once for all."""
        by_shard: dict[Path, list[int]] = {}
        files = []
        for number, path in enumerate(self.paths):
            if is_packed(path):
                by_shard.setdefault(path.parent, []).append(number)
            else:
                files.append(number)
        order = np.random.default_rng([self.seed, ROUNDS]).permutation(np.array(files, np.int64))
        units = [np.sort(order[first : first + TOGETHER]) for first in range(0, len(order), TOGETHER)]
        return [np.array(numbers, np.int64) for numbers in by_shard.values()] + units

    def round(self, number: int, rank: int) -> list[Numbers]:
        """Return the parts of a round, each the numbers of its cases."""
        key = (number, rank)
        if self.last_round is None or self.last_round[0] != key:
            order = np.random.default_rng([self.seed, ROUNDS, number, rank]).permutation(len(self.units))
            parts = even_parts([int(self.sizes[self.units[i]].sum()) for i in order], self.most_bytes)
            self.last_round = key, [np.concatenate([self.units[order[place]] for place in part]) for part in parts]
            self.parts_in[key] = len(parts)
        return self.last_round[1]

    def part(self, number: int, rank: int) -> Part:
        """Return part `number`, counted through all rounds."""
        if self.whole:
            return Part(0, 0, np.arange(len(self.paths)))
        left, turn = number, 0
        while left >= (count := self.parts_in.get((turn, rank)) or len(self.round(turn, rank))):
            left, turn = left - count, turn + 1
        return Part(number, rank, self.round(turn, rank)[left])

    def at(self, step: int, rank: int) -> tuple[Part, Part]:
        """Return what step `step` draws from, and what comes after it."""
        return self.part(step // STEPS, rank), self.part(step // STEPS + 1, rank)

    def visits_at(self, step: int, batch_size: int, rank: int, ranks: int) -> tuple[Part, Part, Numbers]:
        """Return what step `step` of epochs visits: the part, what comes after it, and (batch_size,) places in it.

        Where all is one part every picture is visited once in an epoch, and every volume VISITS times. Otherwise an
        epoch is a round, and of each part less than a step's visits are left out, others every time.
        """
        together = batch_size * ranks
        if self.whole:
            part = self.part(0, 0)
            return part, part, self.visits_of_all(step * together + rank * batch_size, batch_size)
        ends = self.ends.setdefault(together, [])
        while not ends or ends[-1] <= step:
            visits = visits_of([self.paths[i] for i in self.part(len(ends), 0).cases])
            ends.append((ends[-1] if ends else 0) + max(1, visits // together))
        number = bisect_right(ends, step)
        part = self.part(number, 0)
        order = self.order([self.paths[i] for i in part.cases], number)
        first = (step - (ends[number - 1] if number else 0)) * together + rank * batch_size
        return part, self.part(number + 1, 0), order[np.arange(first, first + batch_size) % len(order)]

    def visits_of_all(self, first: int, count: int) -> Numbers:
        """Return visits from `first` on, counted through all epochs, to cases by number."""
        found: list[int] = []
        visits = self.visits
        while len(found) < count:
            epoch, place = divmod(first + len(found), visits)
            found.extend(self.order(self.paths, epoch)[place : place + count - len(found)].tolist())
        return np.array(found, np.int64)

    def order(self, paths: Sequence[Path], number: int) -> Numbers:
        if self.last_order is None or self.last_order[0] != number:
            self.last_order = number, visit_order(paths, self.seed, number)
        return self.last_order[1]


def even_parts(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Share places in `sizes` out among as few parts as hold at most `most` each; what alone is larger is a part.

    Each in turn goes where there is least, so that parts are of about even size.
    """
    large = [[place] for place, size in enumerate(sizes) if size > most]
    others = [(place, size) for place, size in enumerate(sizes) if size <= most]
    parts: list[list[int]] = []
    for count in range(-(-sum(size for _, size in others) // max(1, most)) or 1, len(others) + 1):
        parts = [[] for _ in range(count)]
        filled = [0] * count
        for place, size in others:
            least = filled.index(min(filled))
            parts[least].append(place)
            filled[least] += size
        if max(filled) <= most:
            break
    return large + [part for part in parts if part]


class PoolStream:
    """Makes pools of parts by `build`; the next one is begun in a thread as soon as a part is asked for.

    The process does not wait for these threads at its end.
    """

    def __init__(self, build: Callable[[Part], Pool | None]) -> None:
        self.build = build
        self.pools: dict[Part, Future[Pool | None]] = {}
        self.last: Thread | None = None  # what was begun last

    def pool(self, part: Part, following: Part) -> Pool | None:
        """Return the pool of a part, read now if it was not read ahead; whatever is neither of both is given up.

        None where `build` gives none: no case of the part holds an object.

        Raises:
            CaseReadError, UsageError: as `build_pool`.

        """
        for known in self.pools.keys() - {part, following}:
            self.pools.pop(known).cancel()
        for wanted in (part, following):
            if wanted not in self.pools:
                future = self.pools[wanted] = Future()
                self.last = Thread(target=make_pool, args=(self.build, wanted, future, self.last), daemon=True)
                self.last.start()
        return self.pools[part].result()


def make_pool(
    build: Callable[[Part], Pool | None], part: Part, future: Future[Pool | None], before: Thread | None
) -> None:
    """Build a pool after the one before it, unless it was given up meanwhile."""
    if before is not None:
        before.join()
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(build(part))
    except BaseException as error:
        future.set_exception(error)
