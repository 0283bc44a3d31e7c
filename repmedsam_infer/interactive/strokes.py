"""Strokes of a round brush to pixels of a plane."""

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.interactive.drawing import Axis, StrokeMark

F64 = NDArray[np.float64]
AXES: dict[Axis, int] = {"x": 2, "y": 1, "z": 0}  # of (D, H, W)
# The two axes along a plane, x before y before z, as array axes.
ALONG: dict[Axis, tuple[int, int]] = {"x": (1, 0), "y": (2, 0), "z": (2, 1)}


def stroke_voxels(
    mark: StrokeMark, shape: tuple[int, ...], spacing: tuple[float, ...] | None
) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """Return where a stroke lies, as an index into an (H, W) or (D, H, W) array, and which pixels there it covers.

    A pixel is covered where its middle is no farther from the stroke's line than the radius; the one that a point
    lies in always is. The brush is round in mm, where spacing (mm along each array axis) is known.
    """
    planar = len(shape) == 2
    first, second = (1, 0) if planar else ALONG[mark.axis]
    stretch = 1.0 if spacing is None else spacing[second] / spacing[first]  # of the second axis, in voxels of the first
    points = np.array(mark.points, np.float64)
    reach = np.array([mark.radius, mark.radius / stretch])
    limits = np.array([shape[first], shape[second]])
    low = np.clip(np.floor(points.min(0) - reach), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(points.max(0) + reach) + 1, 1, limits).astype(int)
    across, down = np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5
    covered = np.zeros((len(down), len(across)), bool)
    scaled = points * (1, stretch)
    for a, b in zip(scaled, scaled[1:] if len(scaled) > 1 else scaled, strict=False):
        cover_segment(covered, across, down * stretch, a, b, mark.radius)
    for x, y in np.clip(np.floor(points), 0, limits - 1).astype(int):
        covered[y - low[1], x - low[0]] = True
    where = {first: slice(int(low[0]), int(high[0])), second: slice(int(low[1]), int(high[1]))}
    if planar:
        return (where[0], where[1]), covered
    through = AXES[mark.axis]
    index = tuple(where.get(axis, slice(mark.index, mark.index + 1)) for axis in range(3))
    return index, np.expand_dims(covered if second < first else covered.T, through)


def cover_segment(covered: NDArray[np.bool_], across: F64, down: F64, a: F64, b: F64, radius: float) -> None:
    """Set the cells within `radius` of the line from a to b, (2,) each: only those near it are tried."""
    columns = slice(*np.searchsorted(across, [min(a[0], b[0]) - radius, max(a[0], b[0]) + radius + 1e-9]).tolist())
    rows = slice(*np.searchsorted(down, [min(a[1], b[1]) - radius, max(a[1], b[1]) + radius + 1e-9]).tolist())
    x, y = across[None, columns], down[rows, None]
    along, length = b - a, float(((b - a) ** 2).sum())
    t = np.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / length, 0, 1) if length else 0.0
    covered[rows, columns] |= (x - a[0] - t * along[0]) ** 2 + (y - a[1] - t * along[1]) ** 2 <= radius**2
