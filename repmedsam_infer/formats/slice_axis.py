"""A scan's voxels, to slices in the orientation of the training data, and back, without a voxel being lost or moved.

Slices lie across the axis along which the scan was acquired, and are oriented as radiologists view them: rows run to
the patient's back (axial) or feet (coronal, sagittal), columns to the left (axial, coronal) or back (sagittal). Axes
are swapped and reversed for that, never interpolated: an oblique scan is oriented as nearly so as its axes allow.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.formats.scan import Scan

CLEARLY_LARGER = 1.5  # times the next larger: the spacing of an axis that slices were taken along
LEFT, BACK, HEAD = 0, 1, 2  # axes of LPS
X, Y, Z = 0, 1, 2  # axes of a file; array axis 2 - x


@dataclass(frozen=True)
class SliceOrder:
    """How voxels become slices.

    order: of the axes of slices, each one's axis in the voxels; (0, 1, 2) as they are, (0, 1) for pictures.
    flipped: of the axes of slices, whether it runs the other way.
    shape: of the voxels, (H, W) or (D, H, W).
    """

    order: tuple[int, ...]
    flipped: tuple[bool, ...]
    shape: tuple[int, ...]

    def slices(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """(D, H, W[, 3]) or (H, W[, 3]) of voxels in the file's order; a view."""
        further = tuple(range(len(self.order), voxels.ndim))
        return np.flip(voxels.transpose((*self.order, *further)), self._reversed)

    def voxels(self, slices: NDArray[Any]) -> NDArray[Any]:
        """Return what `slices` turned, turned back."""
        further = tuple(range(len(self.order), slices.ndim))
        back = tuple(np.argsort(self.order).tolist())
        return np.ascontiguousarray(np.flip(slices, self._reversed).transpose((*back, *further)))

    def boxes(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 4) or (N, 6) boxes of voxel indices, x y [z] lower then upper, ends inclusive, on the slices."""
        axes = len(self.order)
        low, high = corners[:, :axes][:, ::-1], corners[:, axes:][:, ::-1]  # slowest axis first
        low, high = low[:, self.order], high[:, self.order]
        last = np.array(self.shape)[list(self.order)] - 1.0
        flipped = np.array(self.flipped)
        low, high = np.where(flipped, last - high, low), np.where(flipped, last - low, high)
        return np.concatenate([low[:, ::-1], high[:, ::-1]], 1)

    def boxes_of_voxels(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what `boxes` turned, turned back."""
        axes = len(self.order)
        low, high = corners[:, :axes][:, ::-1], corners[:, axes:][:, ::-1]
        last, flipped = np.array(self.shape)[list(self.order)] - 1.0, np.array(self.flipped)
        low, high = np.where(flipped, last - high, low), np.where(flipped, last - low, high)
        back = np.argsort(self.order)
        return np.concatenate([low[:, back][:, ::-1], high[:, back][:, ::-1]], 1)

    def spacing(self, of_voxels: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        """(3,) mm between slices, rows, columns, of those z y x of the file."""
        return None if of_voxels is None else of_voxels[list(self.order)]

    @property
    def _reversed(self) -> tuple[int, ...]:
        return tuple(axis for axis, flipped in enumerate(self.flipped) if flipped)


def slice_order_of(scan: Scan) -> SliceOrder:
    """How a scan becomes slices; one without an affine stays as it is stored."""
    axes = len(scan.shape)
    if not scan.is_volume or scan.affine is None:
        return SliceOrder(tuple(range(axes)), (False,) * axes, scan.shape)
    directions = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    towards = nearest_axes(directions)
    across = slice_axis(scan)
    rows, columns = (axis for axis in by_height(towards) if axis != across)
    signs = [bool(directions[towards[axis], axis] < 0) for axis in (X, Y, Z)]
    # Rows to the back or the feet, columns to the left or back, slices to the head, left or back.
    signs[rows] ^= towards[rows] == HEAD
    order = (across, rows, columns)
    return SliceOrder(tuple(2 - axis for axis in order), tuple(signs[axis] for axis in order), scan.shape)


def slice_axis(scan: Scan) -> int:
    """Find the axis (0 x, 1 y, 2 z) along which slices lie.

    It is the one that the format fixes; else the one of a single voxel, or of clearly the largest spacing; else z.
    """
    if scan.slice_axis is not None:
        return scan.slice_axis
    if scan.affine is None:
        return Z
    single = [axis for axis in (X, Y, Z) if scan.shape[2 - axis] == 1]
    if single:
        return single[-1]
    largest = clearly_largest(np.linalg.norm(scan.affine[:3, :3], axis=0))
    return Z if largest is None else largest


def clearly_largest(spacing: NDArray[np.float64]) -> int | None:
    """Return the axis whose spacing is CLEARLY_LARGER than that of the others, if there is one."""
    largest = int(spacing.argmax())
    others = np.delete(spacing, largest).max()
    return largest if spacing[largest] >= CLEARLY_LARGER * others else None


def nearest_axes(directions: NDArray[np.float64]) -> tuple[int, int, int]:
    """Of each file axis x y z, the patient's axis (LPS) that it runs along most nearly, each taken once."""
    along = directions**2
    best = max(
        itertools.permutations((LEFT, BACK, HEAD)), key=lambda to: sum(along[to[axis], axis] for axis in range(3))
    )
    return best[0], best[1], best[2]


def by_height(towards: tuple[int, int, int]) -> list[int]:
    """File axes in the order of head, back, left: of two, the first is shown upright."""
    return sorted((X, Y, Z), key=lambda axis: -towards[axis])
