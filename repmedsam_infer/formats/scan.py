"""A medical image as its file holds it: voxels, and where they lie in the patient."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import printable

MOST_WARNINGS = 20


@dataclass(frozen=True)
class Scan:
    """One picture or volume, as read; nothing is rescaled, turned or flipped yet.

    name: what messages and results call it: the file's or folder's name without its endings.
    voxels: (H, W), (H, W, 3), (D, H, W) or (D, H, W, 3), any number type, slowest axis first: voxels[z, y, x] is the
        file's voxel (x, y, z), in a NIfTI file (i, j, k), in a DICOM series (column, row, slice along the normal).
        Intensities are real-world ones: rescale slope and intercept are applied (CT in Hounsfield units).
    is_volume: whether the first axis is depth.
    affine: (4, 4) float64, voxel indices (x, y, z, 1) to mm, axes as in DICOM and ITK (LPS: x to the patient's left, y
        to the back, z to the head). None for pictures, which lie nowhere.
    modality: DICOM's word for it where it is known (CT, MR, PT, US, ...), else empty.
    window: (level, width) that the file itself proposes for showing it, or None.
    slice_axis: the axis (0 x, 1 y, 2 z) along which slices lie, where the format fixes it; else None, and it is found
        by spacing (slice_axis.py).
    source: what the writer of the same format needs to write a result back (header, data sets); nobody else's.
    warnings: what was odd about the file, for the user: MOST_WARNINGS printable lines at most, whatever the file says.
    """

    name: str
    voxels: NDArray[Any]
    is_volume: bool
    affine: NDArray[np.float64] | None = None
    modality: str = ""
    window: tuple[float, float] | None = None
    slice_axis: int | None = None
    source: Any = None
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        lines = [printable(warning) for warning in self.warnings[:MOST_WARNINGS]]
        if len(self.warnings) > MOST_WARNINGS:
            lines[-1] = f"and {len(self.warnings) - MOST_WARNINGS + 1} further warnings like these"
        object.__setattr__(self, "warnings", tuple(lines))

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W) or (D, H, W): a label map's shape."""
        return self.voxels.shape[: 3 if self.is_volume else 2]

    @property
    def spacing(self) -> NDArray[np.float64] | None:
        """(3,) mm between voxels, z y x; None for pictures."""
        return None if self.affine is None else np.linalg.norm(self.affine[:3, :3], axis=0)[::-1]
