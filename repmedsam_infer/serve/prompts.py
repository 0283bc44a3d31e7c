"""What a viewer has said of one object: boxes and label maps, in order. Values, so that undo is the list before."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import UsageError

AXES = 3
FARTHEST = 1e9  # voxels, mm


@dataclass(frozen=True)
class BoxPrompt:
    """A box, in voxels of the viewer's array, ends inclusive.

    low, high: along the array's three axes.
    adds: whether the object is in it; else what is in it is taken away.
    across: the axis that it is one voxel thick along; None for a box of several slices.
    """

    low: tuple[int, int, int]
    high: tuple[int, int, int]
    adds: bool
    across: int | None

    def on_slices(self, axis: int) -> tuple[int, int, int, int, int, int]:
        """x_min y_min z_min x_max y_max z_max, where z is `axis`, y the lower and x the higher of the other two."""
        rows, columns = (other for other in range(AXES) if other != axis)
        return tuple(ends[i] for ends in (self.low, self.high) for i in (columns, rows, axis))  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """A label map that was taken over: the object is what is not 0. Bits, eight voxels a byte."""

    bits: NDArray[np.uint8]
    shape: tuple[int, int, int]

    def mask(self) -> NDArray[np.bool_]:
        return np.unpackbits(self.bits, count=int(np.prod(self.shape))).reshape(self.shape).astype(bool)


Prompt = BoxPrompt | MaskPrompt


def box_prompt(coordinates: object, shape: tuple[int, int, int], *, adds: bool) -> BoxPrompt:
    """Return the box of three half-open intervals, rounded and clipped to the image as nnInteractive does it.

    Raises:
        UsageError: they are not three intervals of finite numbers, lie outside the image, or mark a single voxel.

    """
    if not isinstance(coordinates, list) or len(coordinates) != AXES:
        raise UsageError("bbox_coords are three intervals, [[x_min, x_max], [y_min, y_max], [z_min, z_max]]")
    low, high = [], []
    for interval, side in zip(coordinates, shape, strict=True):
        if not isinstance(interval, list) or len(interval) != 2 or not all(is_number(value) for value in interval):
            raise UsageError("an interval of bbox_coords is two numbers, the second one excluded")
        first, last = (round(value) for value in interval)
        if first >= last:
            raise UsageError(f"the interval {interval} of the box is empty")
        if last <= 0 or first >= side:
            raise UsageError(f"the box lies outside the image, whose shape is {list(shape)}")
        low.append(max(first, 0))
        high.append(min(last, side) - 1)
    thin = [axis for axis in range(AXES) if low[axis] == high[axis]]
    if len(thin) == AXES:
        raise UsageError("the box marks a single voxel; draw it around the object")
    # A picture lies across its axis of one voxel; else the first axis that the box is thin along.
    single = [axis for axis in thin if shape[axis] == 1]
    across = single[0] if single else thin[0] if thin else None
    return BoxPrompt((low[0], low[1], low[2]), (high[0], high[1], high[2]), adds, across)


def is_number(value: object) -> bool:
    """Whether it is a number that an image can have to do with: NaN, infinity and integers beyond any float are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < FARTHEST
