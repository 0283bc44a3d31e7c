"""Cases in flat tensors on the device, and tables of what can be drawn from them.

All pixels lie behind each other in one tensor, all labels in another: a batch is gathered from them without a word to
the host.
"""

import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.io.case_files import modality_of
from repmedsam_train.data.augmentation import Augmentation
from repmedsam_train.data.drawn import draw_case
from repmedsam_train.data.labelled import LabelledCase, Layers, in_layers, labelled, reduced
from repmedsam_train.data.mammogram import findings
from repmedsam_train.data.stored_cases import read_training_case

READERS = 2  # threads that read and decode cases
AHEAD = 4 * READERS  # cases that are read before they are needed
VARIANTS = 16  # draws of what to mark on a mammogram, which has no more ways to label it than these
DRAWN = "drawn"  # name of a drawn case
DRAWN_SEED = 77
MOST_LABELS = np.iinfo(np.int16).max

# Columns of `Pool.slices`.
PIXELS, CHANNELS, HEIGHT, WIDTH, LABELS, Z, DEPTH, EXTENTS = range(8)


@dataclass(frozen=True)
class Pool:
    """C cases of S slices with E entries: an object on one of its slices. Everything is on one device.

    pixels: flat uint8; a slice is (H, W, channels). labels: flat int16, (H, W), numbered as in `in_layers`.
    slices: (S, 8) int64: where its pixels begin, channels, height, width, where its labels begin, its place z, the
        depth of its volume (1 for pictures), and the row of `extents` of label 0; slices of a case follow each other.
    extents: (X, 6) float32: of each label of each case, x y z of its first and of its last voxel; of label 0 zeros.
    entry_slice, entry_label: (E,) int64, case by case.
    entry_place: (E,) float64: the number of its case plus the share, in (0, 1], of the case's entries up to it.
    first_entry: (C + 1,) int64.
    chances: (C,) float64, how often each case is drawn: the first `real` sum to 1, and so do the drawn ones after them.
    side: the longest side of a slice. most_labels: of a case.
    """

    pixels: Tensor
    labels: Tensor
    slices: Tensor
    extents: Tensor
    entry_slice: Tensor
    entry_label: Tensor
    entry_place: Tensor
    first_entry: Tensor
    chances: Tensor
    real: int
    side: int
    most_labels: int

    @property
    def device(self) -> torch.device:
        return self.pixels.device


@dataclass(frozen=True)
class Prepared:
    """A case with one or more ways to label it, and the share of its draws that each has."""

    case: LabelledCase
    ways: list[tuple[Layers, float]]


def prepare(case: LabelledCase, augmentation: Augmentation, seed: int) -> Prepared:
    """Return a case with its labels in layers; a mammogram also with what is found on it, as `augmentation` says.

    VARIANTS draws of findings stand for all that could be drawn.
    """
    marked = in_layers(case.gts)
    ways: list[tuple[Layers, float]] = []
    if modality_of(case.name) == "Mammography" and (augmentation.skin or augmentation.dense):
        rng = np.random.default_rng([seed, zlib.crc32(case.name.encode())])
        image = case.imgs[0] if case.imgs.shape[-1] == 3 else case.imgs[0, ..., 0]
        for _ in range(VARIANTS):
            found = findings(image, rng, augmentation.skin, augmentation.dense)
            if found.any():
                ways.append((in_layers(np.asarray(found[None], np.uint16)), 1 / VARIANTS))
    if len(ways) < VARIANTS and len(marked.extents):
        ways.append((marked, 1 - len(ways) / VARIANTS))
    if any(len(layers.extents) > MOST_LABELS for layers, _ in ways):
        raise CaseReadError(f"{case.name}: more than {MOST_LABELS} objects")
    return Prepared(case, ways)


def drawn_cases(count: int, seed: int) -> Iterator[LabelledCase]:
    """Yield `count` cases of drawn.py, always the same for a seed."""
    for number in range(count):
        yield labelled(DRAWN, *draw_case(np.random.default_rng([seed, DRAWN_SEED, number])))


def read_prepared(paths: Sequence[Path], side: int, augmentation: Augmentation, seed: int) -> Iterator[Prepared]:
    """Read cases by a few threads, in order.

    Raises:
        CaseReadError: one of them cannot be read.

    """

    def read(path: Path) -> Prepared:
        return prepare(reduced(read_training_case(path), side), augmentation, seed)

    with ThreadPoolExecutor(READERS) as executor:
        reading: deque[Future[Prepared]] = deque()
        for path in paths:  # no more are asked for than are soon needed: a process that ends waits for those only
            reading.append(executor.submit(read, path))
            if len(reading) > AHEAD:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()


@dataclass
class PoolBuilder:
    """Collects cases into the tables of a pool; `finished` makes the pool."""

    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    labels: list[NDArray[np.int16]] = field(default_factory=list)
    slices: list[list[int]] = field(default_factory=list)
    extents: list[NDArray[np.float32]] = field(default_factory=list)
    entries: list[NDArray[np.float64]] = field(default_factory=list)  # (E, 3): slice, label, place
    first_entry: list[int] = field(default_factory=lambda: [0])
    # How many of each there are.
    pixel_count: int = 0
    label_count: int = 0
    extent_count: int = 0

    def add(self, prepared: Prepared) -> None:
        """Add a case; one without objects has no entries."""
        case, number = prepared.case, len(self.first_entry) - 1
        entries: list[NDArray[np.float64]] = []
        for layers, share in prepared.ways:
            first = len(self.slices)
            depth, height, width = layers.gts.shape
            area, channels = height * width, case.imgs.shape[-1]
            for z in range(depth):
                self.slices.append([
                    self.pixel_count + z * area * channels, channels, height, width,
                    self.label_count + z * area, z, depth, self.extent_count,
                ])  # fmt: skip
            self.labels.append(layers.gts.ravel())
            self.label_count += layers.gts.size
            self.extents.append(np.concatenate([np.zeros((1, 6), np.float32), layers.extents]))
            self.extent_count += 1 + len(layers.extents)
            entries.append(entries_of(layers, first, share))
        if entries:
            self.pixels.append(case.imgs.ravel())
            self.pixel_count += case.imgs.size
            together = np.concatenate(entries)
            shares = np.cumsum(together[:, 2])
            together[:, 2] = number + shares / shares[-1]
            self.entries.append(together)
        self.first_entry.append(self.first_entry[-1] + sum(len(some) for some in entries))

    def finished(self, chances: NDArray[np.float64], device: torch.device) -> Pool | None:
        """Return the pool of all cases that were added; `chances` of the first of them, the others are drawn ones.

        None where none of the first holds an object.
        """
        holding = np.diff(self.first_entry) > 0
        real = len(chances)
        weights = np.where(holding[:real], chances, 0)
        if not weights.sum():
            return None
        drawn = holding[real:] / max(1, holding[real:].sum())
        entries = np.concatenate(self.entries)

        def there(values: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(values).to(device)

        table = np.array(self.slices, np.int64)
        return Pool(
            joined(self.pixels, torch.empty(self.pixel_count, dtype=torch.uint8, device=device)),
            joined(self.labels, torch.empty(self.label_count, dtype=torch.int16, device=device)),
            there(table),
            there(np.concatenate(self.extents)),
            there(entries[:, 0].astype(np.int64)),
            there(entries[:, 1].astype(np.int64)),
            there(entries[:, 2].copy()),
            there(np.array(self.first_entry, np.int64)),
            there(np.concatenate([weights / weights.sum(), drawn])),
            real,
            int(table[:, [HEIGHT, WIDTH]].max()),
            max(len(some) - 1 for some in self.extents),
        )


def joined(parts: list[NDArray[np.uint8]] | list[NDArray[np.int16]], whole: Tensor) -> Tensor:
    """Fill `whole` with `parts`, which are given up one by one: there is never twice as much in memory."""
    end = len(whole)
    while parts:
        part = torch.from_numpy(parts.pop())
        whole[end - len(part) : end] = part.to(whole.device)
        end -= len(part)
    return whole


def entries_of(layers: Layers, first: int, share: float) -> NDArray[np.float64]:
    """(E, 3): slice, label and weight of every object on every slice where it is; weights sum to `share`.

    Every object is drawn equally often, however many slices it has. `first`: the number of the case's first slice.
    """
    rows: list[list[int]] = []
    count = len(layers.extents)
    for z, label_map in enumerate(layers.gts):
        rows.extend([first + z, label] for label in np.flatnonzero(np.bincount(label_map.ravel())).tolist() if label)
    table = np.array(rows, np.float64).reshape(-1, 2)
    on_slices = np.bincount(table[:, 1].astype(np.int64), minlength=count + 1)
    weights = share / count / on_slices[table[:, 1].astype(np.int64)]
    return np.column_stack([table, weights])


def build_pool(
    paths: Sequence[Path],
    chances: NDArray[np.float64],
    device: torch.device,
    *,
    side: int,
    augmentation: Augmentation,
    seed: int,
    drawn: int = 0,
) -> Pool | None:
    """Read cases into a pool on `device`, followed by `drawn` drawn ones; None where no case holds an object.

    Raises:
        CaseReadError: a case cannot be read.
        UsageError: a shard cannot be read.

    """
    builder = PoolBuilder()
    for prepared in read_prepared(paths, side, augmentation, seed):
        builder.add(prepared)
    for case in drawn_cases(drawn, seed):
        builder.add(prepare(case, augmentation, seed))
    return builder.finished(chances, device)
