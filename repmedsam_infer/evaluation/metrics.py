"""DSC and NSD of one object (challenge definition: tolerance 2 mm).

NSD counts surface elements, each with its length (2D) or area (3D), as the surface-distance package defines them; the
package itself no longer runs on current numpy, its tables do, and the distances are scipy's.
"""

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from surface_distance import lookup_tables

Mask = NDArray[np.bool_]
TOLERANCE_MM = 2.0


def dsc(gt: Mask, seg: Mask) -> float:
    """Dice similarity coefficient; NaN where both are empty."""
    total = int(gt.sum()) + int(seg.sum())
    return 2 * int((gt & seg).sum()) / total if total else float("nan")


def nsd(gt: Mask, seg: Mask, spacing: tuple[float, ...], tolerance: float = TOLERANCE_MM) -> float:
    """Normalised surface Dice: the share of both surfaces within `tolerance` of the other one.

    Args:
        gt, seg: (H, W) or (D, H, W).
        spacing: mm along each axis, as many as there are axes.

    Returns:
        0 to 1; 0 where just one is empty, NaN where both are.

    """
    if not gt.any() or not seg.any():
        return float("nan") if not gt.any() and not seg.any() else 0.0
    crop = bounding_crop(gt | seg)
    code_gt, code_seg = neighbour_codes(gt[crop]), neighbour_codes(seg[crop])
    surface = element_sizes(spacing)
    border_gt, border_seg = is_border(code_gt), is_border(code_seg)
    to_gt = ndimage.distance_transform_edt(~border_gt, sampling=spacing)
    to_seg = ndimage.distance_transform_edt(~border_seg, sampling=spacing)
    size_gt, size_seg = surface[code_gt[border_gt]], surface[code_seg[border_seg]]
    close = size_gt[to_seg[border_gt] <= tolerance].sum() + size_seg[to_gt[border_seg] <= tolerance].sum()
    return float(close / (size_gt.sum() + size_seg.sum()))


def nsd_of_flat_volume(gt: Mask, seg: Mask) -> float:
    """What the challenge computes for a picture: the NSD of an (H, W, 1) volume of spacing 1, where every pixel is
    surface.
    """
    return nsd(gt[..., None], seg[..., None], (1.0, 1.0, 1.0))


def bounding_crop(mask: Mask) -> tuple[slice, ...]:
    (crop,) = ndimage.find_objects(mask.astype(np.uint8))
    assert crop is not None
    return tuple(crop)


def neighbour_codes(mask: Mask) -> NDArray[np.int64]:
    """For each corner between voxels, which of the 4 or 8 voxels around it are set, as bits."""
    flat = mask.ndim == 2
    kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_2D_KERNEL if flat else lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
    padded = np.pad(mask.astype(np.int64), [(0, 1)] * mask.ndim)
    return ndimage.correlate(padded, kernel, mode="constant", cval=0)


def is_border(codes: NDArray[np.int64]) -> Mask:
    """Corners around which some voxels are set and some are not."""
    full = 2 ** (2**codes.ndim) - 1
    return (codes != 0) & (codes != full)


@functools.cache
def element_sizes(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Contour length in mm or surface area in mm2 for each neighbour code."""
    if len(spacing) == 2:
        return np.asarray(lookup_tables.create_table_neighbour_code_to_contour_length(spacing))
    return np.asarray(lookup_tables.create_table_neighbour_code_to_surface_area(spacing))
