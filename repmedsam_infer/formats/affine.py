"""Whether an affine is one that voxels can lie by."""

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError

FARTHEST = 1e9  # mm
FLAT = 1e-4  # of a right-angled box's volume: less than that, and the axes lie in one plane


def check_affine(name: str, affine: NDArray[np.float64]) -> None:
    """Check that a (4, 4) affine is finite and has an inverse.

    Raises:
        CaseReadError: it is not; the sentence says what it is.

    """
    if not (np.abs(affine) < FARTHEST).all():  # NaN is not, either
        raise CaseReadError(
            f"{name}: its header says where it lies with numbers that are NaN, infinite or absurdly large; "
            "export the image again"
        )
    axes = affine[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    if (spacing <= 0).any():
        sides = " x ".join(f"{side:g}" for side in spacing)
        raise CaseReadError(f"{name}: its voxels are {sides} mm large: its header is damaged; export the image again")
    if abs(np.linalg.det(axes / spacing)) < FLAT:
        raise CaseReadError(
            f"{name}: its axes lie in one plane (a singular affine): its header is damaged; export the image again"
        )
