"""How the numbers of a file are laid out: axes, values a voxel, type; and which of several volumes is meant."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.opening import BESIDES
from repmedsam_infer.formats.volumes import choose_volume
from repmedsam_infer.io.npz import MAX_ARRAY_BYTES
from repmedsam_infer.system.memory import check_fits

IN_TIME = 4  # axes of several volumes
COLOURS = 3


@dataclass(frozen=True)
class Layout:
    """Numbers of a file, the fastest axis first.

    sizes: of the axes x, y, z, t; any number of them.
    values: of each voxel; more than one has an axis of its own.
    values_axis: its place among all axes, from 0, the fastest; None where there is none.
    dtype: of a number, in the file's byte order.
    """

    sizes: tuple[int, ...]
    dtype: np.dtype[Any]
    values: int = 1
    values_axis: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all axes, the slowest first."""
        axes = list(self.sizes)
        if self.values_axis is not None:
            axes.insert(self.values_axis, self.values)
        return tuple(axes[::-1])

    @property
    def count(self) -> int:
        """Numbers in the file."""
        return math.prod(self.shape)

    @property
    def is_shown(self) -> bool:
        """Whether a voxel has one value, or a colour: three of 8 bits. Three others are volumes."""
        return self.values == 1 or (self.values == COLOURS and self.dtype == np.uint8)


@dataclass(frozen=True)
class Part:
    """The numbers of a file that are read, and what is made of them.

    first: the place of the first in the file's order.
    shape: of these numbers, the slowest axis first.
    dtype: of a number, in the file's byte order.
    taken: (axis of that shape, index) of what is kept; None for all.
    values_axis: of what is kept, which goes last; None where a voxel has one value.
    """

    first: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    taken: tuple[int, int] | None = None
    values_axis: int | None = None

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes_at_once(self) -> int:
        """What `voxels` takes at most, the numbers included."""
        kept = self.count // (self.shape[self.taken[0]] if self.taken else 1)
        axes = len(self.shape) - (self.taken is not None)
        is_moved = self.values_axis not in (None, axes - 1)
        return (self.count + kept * ((self.taken is not None) + is_moved)) * self.dtype.itemsize

    def voxels(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """(H, W[, 3]) or (D, H, W[, 3]) of the numbers, (count,), in the machine's byte order."""
        if not numbers.dtype.isnative:
            numbers = numbers.byteswap(inplace=True).view(numbers.dtype.newbyteorder("="))
        voxels = numbers.reshape(self.shape)
        if self.taken is not None:
            axis, index = self.taken
            voxels = voxels.take(index, axis)
        if self.values_axis is not None:
            voxels = np.moveaxis(voxels, self.values_axis, -1)
        return np.ascontiguousarray(voxels)


def part_to_read(name: str, layout: Layout, volume: int | None) -> Part:
    """Return what has to be read for the volume, or picture, that is meant.

    Raises:
        CaseReadError: none of several was chosen, or it does not fit into the memory that is left.

    """
    index = choose(name, layout, volume)
    shape, values = list(layout.shape), None
    if layout.values_axis is not None:
        values = len(shape) - 1 - layout.values_axis
    picked = None if layout.is_shown else values
    if len(layout.sizes) == IN_TIME:
        picked = 1 if values == 0 else 0
    left = values if values != picked else None
    if left is not None and picked is not None and picked < left:
        left -= 1
    if picked == 0:  # volumes follow each other: only that one is read
        part = Part(index * math.prod(shape[1:]), tuple(shape[1:]), layout.dtype, None, left)
    else:
        part = Part(0, tuple(shape), layout.dtype, None if picked is None else (picked, index), left)
    check_fits(name, part.bytes_at_once + BESIDES * math.prod(layout.sizes[:3]))
    return part


def choose(name: str, layout: Layout, volume: int | None) -> int:
    """Return the place, from 0, of the volume that is meant.

    Raises:
        CaseReadError: there are several and none was chosen, or there is none of this number.

    """
    sizes, sides = layout.sizes, " x ".join(map(str, layout.sizes))
    if len(sizes) == IN_TIME:
        return choose_volume(name, sizes[3], volume, sides)
    if not layout.is_shown:
        return choose_volume(name, layout.values, volume, f"values a voxel, of {sides} voxels")
    return choose_volume(name, 1, volume)


def check_layout(name: str, layout: Layout) -> None:
    """Check what a header declares, before anything is read.

    Raises:
        CaseReadError: the file holds none that can be shown, or is too large.

    """
    sizes, values = layout.sizes, layout.values
    sides = " x ".join(map(str, sizes))
    if len(sizes) not in (2, 3, IN_TIME) or (len(sizes) == IN_TIME and not layout.is_shown):
        raise CaseReadError(f"{name}: has {len(sizes)} axes ({sides}) and {values} values a voxel; give one volume")
    size = layout.count * layout.dtype.itemsize
    if size > MAX_ARRAY_BYTES:
        raise CaseReadError(
            f"{name}: declares {sides} voxels, {size / 2**30:,.1f} GiB; the limit is {MAX_ARRAY_BYTES / 2**30:.0f} GiB"
        )
