"""Label maps of an image: whether one lies on its voxels, and its labels numbered without gaps.

Programs store the same volume in different orders (NIfTI from the right, DICOM from the left, ...), or only the part
that has labels. A label map of the same voxels is turned round and put back exactly, without interpolation; any other
grid is refused.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import MAX_BOXES, find_extents
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.intensity import pieces
from repmedsam_infer.formats.pictures.palette import PaletteSource
from repmedsam_infer.formats.scan import Scan

GRID_TOLERANCE = 0.1  # of a voxel's shortest side: how far a voxel may lie from the one it is taken for


def whole_labels(label_map: Scan) -> NDArray[np.uint16]:
    """Return the labels of a label map, (H, W) or (D, H, W). In a picture with a palette of colours its numbers count.

    Raises:
        CaseReadError: they are colours, fractions, negative or too large.

    """
    name, voxels = label_map.name, label_map.voxels
    if isinstance(label_map.source, PaletteSource):
        if label_map.source.is_turned:
            raise CaseReadError(
                f"{name}: is turned by its EXIF orientation, which label maps are not; save it as shown"
            )
        voxels = label_map.source.indices()
    labels = np.empty(label_map.shape, np.uint16)
    colours, fractions = voxels.ndim > labels.ndim, voxels.dtype.kind == "f"
    low, high = np.inf, -np.inf
    for piece in pieces(labels.shape):
        values = voxels[piece]
        if colours:
            if (values != values[..., :1]).any():
                raise CaseReadError(f"{name}: is coloured; a label map has one whole number a pixel, 0 for background")
            values = values[..., 0]
        if fractions and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise CaseReadError(f"{name}: has values that are no whole numbers; is it an image, not a label map?")
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        if low >= 0 and high <= MAX_BOXES:
            labels[piece] = values
    if low < 0 or high > MAX_BOXES:
        raise CaseReadError(
            f"{name}: has values from {low:g} to {high:g}; labels are 0 to {MAX_BOXES}. "
            "Is it an image, not a label map?"
        )
    return labels


def on_grid_of(scan: Scan, label_map: Scan, labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Labels in the order of the scan's voxels.

    Where both say where they lie, that decides; where one does not, the shape has to be the same.

    Raises:
        CaseReadError: they are not the same voxels.

    """
    if scan.affine is not None and label_map.affine is not None:
        turned = _turned(scan.affine, label_map.affine, labels, scan.shape)
        if turned is None:
            raise CaseReadError(
                f"{label_map.name}: does not lie on the voxels of {scan.name}: {_described(label_map)}, against "
                f"{_described(scan)}; resample it to that image first"
            )
        return turned
    if labels.shape == (1, *scan.shape):  # of a picture, as formats of volumes hold it
        return labels[0]
    if labels.shape != scan.shape:
        raise CaseReadError(
            f"{label_map.name}: has shape {labels.shape} and {scan.name} {scan.shape}; "
            "a label map has one label for each pixel of its image"
        )
    return labels


def _turned(
    scan_affine: NDArray[np.float64], affine: NDArray[np.float64], labels: NDArray[np.uint16], shape: tuple[int, ...]
) -> NDArray[np.uint16] | None:
    """Axes swapped and turned so that each label lies where it did, with background around it where the label map was
    cut out of the scan; None where that does not reach the scan's grid.
    """
    to_scan = np.linalg.solve(scan_affine, affine)  # indices x y z of the label map to those of the scan
    axes = np.rint(to_scan[:3, :3]).astype(int)
    if not (np.abs(axes).sum(0) == 1).all() or not (np.abs(axes).sum(1) == 1).all():
        return None
    source = [2 - int(np.flatnonzero(axes[2 - axis])[0]) for axis in range(3)]  # array axes, slowest first
    backwards = tuple(axis for axis in range(3) if axes[2 - axis].sum() < 0)
    turned = np.flip(labels.transpose(source), backwards)
    # Where the first voxel of the turned array comes to lie.
    offset = np.rint(to_scan[:3, 3] + np.where(axes.sum(1) < 0, 1 - np.array(turned.shape[::-1]), 0)).astype(int)[::-1]
    if (offset < 0).any() or (offset + turned.shape > shape).any():
        return None
    # Compared where errors are largest: at the corners.
    exact = np.eye(4)
    exact[:3, :3] = axes
    exact[:3, 3] = np.rint(to_scan[:3, 3])
    corners = np.array([[*corner, 1] for corner in itertools.product(*((0, side - 1) for side in labels.shape[::-1]))])
    apart = np.linalg.norm((corners @ (scan_affine @ exact - affine).T)[:, :3], axis=1)
    if apart.max() > GRID_TOLERANCE * np.linalg.norm(scan_affine[:3, :3], axis=0).min():
        return None
    if turned.shape == shape:
        return turned
    whole = np.zeros(shape, labels.dtype)
    whole[tuple(slice(first, first + side) for first, side in zip(offset, turned.shape, strict=True))] = turned
    return whole


def _described(scan: Scan) -> str:
    """Shape, spacing and place, in words."""
    assert scan.affine is not None
    assert scan.spacing is not None
    sides = " x ".join(str(side) for side in scan.shape[::-1])
    spacing = " x ".join(f"{side:.3g}" for side in scan.spacing[::-1])
    origin = ", ".join(f"{value:.1f}" for value in scan.affine[:3, 3])
    return f"{sides} voxels of {spacing} mm from ({origin})"


def present_labels(labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """(N,) labels from 1 on that have pixels, in order."""
    return np.flatnonzero(find_extents(labels).counts) + 1


def renumbered(labels: NDArray[np.integer], present: NDArray[np.intp]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Labels numbered by their place among the `present` ones, from 1; uint8 where they fit, else uint16."""
    numbers = np.zeros(int(labels.max(initial=0)) + 1, np.uint8 if len(present) <= 255 else np.uint16)
    numbers[present] = np.arange(1, len(present) + 1)
    return numbers[labels]
