"""Which objects of which slices a batch is drawn around."""

import torch
from torch import Tensor

from repmedsam_train.data.pool import DEPTH, EXTENTS, Pool, Z
from repmedsam_train.data.sampler.chance import Chance

FARTHEST = 2  # slices beyond an object's end


def draw_entries(
    pool: Pool, count: int, chance: Chance, drawn: float = 0, visited: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(count,) slices and (count,) labels: a case, then one of its objects, then one of the object's slices.

    drawn: the probability of a drawn case. visited: (count,) real cases, instead of such as `pool.chances` draws; where
    one holds no object another is drawn for it.
    """
    real = weighted(pool.chances[: pool.real], chance.fine(count))
    if visited is not None:
        empty = pool.first_entry[visited + 1] == pool.first_entry[visited]
        real = torch.where(empty, real, visited)
    if drawn:
        other = pool.real + weighted(pool.chances[pool.real :], chance.fine(count))
        real = torch.where(chance.happens(count, probability=drawn), other, real)
    return entries_of_cases(pool, real, chance)


def weighted(weights: Tensor, at: Tensor) -> Tensor:
    """Return the place of each number of [0, 1) among weights: one of weight 0 has none."""
    sums = weights.cumsum(0)
    return torch.searchsorted(sums / sums[-1], at, right=True)


def entries_of_cases(pool: Pool, cases: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    share = 1 - chance.fine(len(cases))  # in (0, 1]
    entry = torch.searchsorted(pool.entry_place, cases + share)
    entry = torch.maximum(entry, pool.first_entry[cases])  # where the share was lost in rounding
    return pool.entry_slice[entry], pool.entry_label[entry]


def move_beyond(pool: Pool, slices: Tensor, labels: Tensor, probability: float, chance: Chance) -> Tensor:
    """Move some slices of volumes to one beyond an end of their object, if there is one."""
    row = pool.slices[slices]
    extent = pool.extents[row[:, EXTENTS] + labels]
    steps = 1 + chance.below(torch.full_like(slices, FARTHEST))
    after = chance.happens(len(slices), probability=0.5)
    z = torch.where(after, extent[:, 5].long() + steps, extent[:, 2].long() - steps)
    moved = chance.happens(len(slices), probability=probability) & (row[:, DEPTH] > 1) & (z >= 0) & (z < row[:, DEPTH])
    return torch.where(moved, slices + z - row[:, Z], slices)
