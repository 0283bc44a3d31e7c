"""Slices out of a pool, side by side in one tensor, and the part of each that is shown."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from repmedsam_train.data.augmentation import Augmentation
from repmedsam_train.data.pool import CHANNELS, HEIGHT, LABELS, PIXELS, WIDTH, Pool
from repmedsam_train.data.sampler.chance import Chance, on_host

SMALLEST = 16  # pixels of a side of a crop


@dataclass(frozen=True)
class View:
    """What is shown of each of B slices: `height` rows from `top` on, `width` columns from `left` on, all (B,) int64;
    then left and right exchanged (flip_x), top and bottom (flip_y), rows and columns (transpose), all (B,) bool.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flip_x: Tensor
    flip_y: Tensor
    transpose: Tensor


@dataclass(frozen=True)
class Source:
    """B slices in the upper left corners of a square: pixels (B, 3, side, side) float32 from 0 to 255, labels
    (B, side, side) int16, 0 outside the view; grey (B,) bool: three channels alike.
    """

    pixels: Tensor
    labels: Tensor
    grey: Tensor
    view: View

    @property
    def side(self) -> int:
        return self.labels.shape[-1]


def fetch(pool: Pool, slices: Tensor) -> Source:
    """Return slices by number, each shown whole."""
    rows = pool.slices[slices]
    height, width = rows[:, HEIGHT], rows[:, WIDTH]
    none = torch.zeros_like(height)
    never = none.bool()
    view = View(none, none, height, width, never, never, never)
    copy = copied if on_host(pool.labels) else gathered
    return Source(*copy(pool, rows), rows[:, CHANNELS] == 1, view)


def gathered(pool: Pool, rows: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 8) rows of `pool.slices` -> pixels and labels, without a word to the host."""
    y = torch.arange(pool.side, device=pool.device)[None, :, None]
    x = torch.arange(pool.side, device=pool.device)[None, None, :]
    pixels_at, channels, height, width, labels_at = (
        rows[:, column, None, None] for column in (PIXELS, CHANNELS, HEIGHT, WIDTH, LABELS)
    )
    inside = (y < height) & (x < width)
    place = y * width + x
    labels = pool.labels[(labels_at + place) * inside] * inside
    channel = torch.arange(3, device=pool.device)[:, None, None] * (channels[:, None] > 1)
    pixels = pool.pixels[(pixels_at + place * channels)[:, None] * inside[:, None] + channel * inside[:, None]]
    return pixels * inside[:, None].float(), labels


def copied(pool: Pool, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same as `gathered`, slice by slice: on a CPU several times as fast."""
    pixels = torch.zeros(len(rows), 3, pool.side, pool.side)
    labels = torch.zeros(len(rows), pool.side, pool.side, dtype=torch.int16)
    for i, row in enumerate(rows.tolist()):
        height, width, channels = row[HEIGHT], row[WIDTH], row[CHANNELS]
        area = height * width
        values = pool.pixels[row[PIXELS] : row[PIXELS] + area * channels].view(height, width, channels)
        pixels[i, :, :height, :width] = values.permute(2, 0, 1)
        labels[i, :height, :width] = pool.labels[row[LABELS] : row[LABELS] + area].view(height, width)
    return pixels, labels


def crop(source: Source, anchor: Tensor, augmentation: Augmentation, chance: Chance) -> Source:
    """Show random parts of some slices, each around a random pixel of its anchor, the object (B,) that it was drawn
    for; labels outside become 0.
    """
    count = len(anchor)
    y, x, there = random_pixel(source.labels == anchor[:, None, None], chance)
    common = chance.uniform(count, low=augmentation.smallest_crop)
    some = chance.happens(count, probability=augmentation.crop) & there
    tops = random_span(source.view.height, y, common, some, chance)
    lefts = random_span(source.view.width, x, common, some, chance)
    view = replace(source.view, top=tops[0], height=tops[1], left=lefts[0], width=lefts[1])
    return replace(source, labels=source.labels * inside(view, source.side), view=view)


def inside(view: View, side: int) -> Tensor:
    """(B, side, side) bool: what a view shows."""
    at = torch.arange(side, device=view.top.device)[None]
    rows = (at >= view.top[:, None]) & (at < (view.top + view.height)[:, None])
    columns = (at >= view.left[:, None]) & (at < (view.left + view.width)[:, None])
    return rows[:, :, None] & columns[:, None, :]


def random_pixel(masks: Tensor, chance: Chance) -> tuple[Tensor, Tensor, Tensor]:
    """(B, side, side) bool -> row and column (B,) of a random pixel that is set, and whether there is one."""
    in_row = masks.sum(2)
    until = in_row.cumsum(1)
    wanted = chance.below(until[:, -1].clamp(min=1))
    row = (until <= wanted[:, None]).sum(1).clamp(max=masks.shape[1] - 1)
    this = torch.arange(len(row), device=row.device)
    left = wanted - (until - in_row)[this, row]
    column = (masks[this, row].cumsum(1) <= left[:, None]).sum(1).clamp(max=masks.shape[2] - 1)
    return row, column, until[:, -1] > 0


def random_span(
    length: Tensor, position: Tensor, common: Tensor, some: Tensor, chance: Chance
) -> tuple[Tensor, Tensor]:
    """(B,) first and count of a random part of `length` pixels that holds `position`; all of them where not `some`."""
    share = (common * chance.uniform(len(length), low=0.8, high=1.25)).clamp(max=1)
    count = torch.minimum((length * share).long().clamp(min=SMALLEST), length)
    first, last = (position - count + 1).clamp(min=0), torch.minimum(position, length - count)
    start = first + chance.below((last - first + 1).clamp(min=1))
    return torch.where(some, start, 0), torch.where(some, count, length)


def flip(view: View, augmentation: Augmentation, chance: Chance) -> View:
    """Exchange sides and axes of some views."""
    count = len(view.top)
    return replace(
        view,
        flip_x=chance.happens(count, probability=augmentation.flip),
        flip_y=chance.happens(count, probability=augmentation.flip),
        transpose=chance.happens(count, probability=augmentation.transpose),
    )
