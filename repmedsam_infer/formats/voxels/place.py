"""Where voxels lie, as NRRD, MetaImage and ITK say it: origin, spacing and direction, in mm and LPS."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.formats.affine import check_affine
from repmedsam_infer.formats.scan import Scan

IN_3D = 3  # axes


@dataclass(frozen=True)
class Place:
    """What a label map takes from its image, of 2 or 3 axes.

    origin: of the first voxel's centre, mm.
    spacing: between voxels, mm, more than 0.
    direction: the square matrix whose columns are the directions of the axes, row by row.
    """

    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]


def make_place(
    name: str, origin: NDArray[np.float64], spacing: NDArray[np.float64], axes: NDArray[np.float64]
) -> Place:
    """Return the place of an image, checked; an axis of negative spacing runs the other way.

    Args:
        name: what messages call the file.
        origin: (N,) mm, of 2 axes or more, of which the first 3 count.
        spacing: (N,) mm.
        axes: (N, N), of which each column is an axis' direction.

    Raises:
        CaseReadError: it has no inverse, or is not finite.

    """
    axes = np.where(spacing < 0, -axes, axes)[:IN_3D, :IN_3D]
    origin, spacing = origin[:IN_3D], np.abs(spacing[:IN_3D])
    place = Place(tuple(origin.tolist()), tuple(spacing.tolist()), tuple(axes.ravel().tolist()))
    affine_of(name, place if len(origin) == IN_3D else as_volume(place))
    return place


def affine_of(name: str, place: Place) -> NDArray[np.float64]:
    """(4, 4) voxel indices to mm LPS, of a place of 3 axes.

    Raises:
        CaseReadError: it has no inverse, or is not finite.

    """
    affine = np.eye(4)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of that is refused below
        affine[:3, :3] = np.reshape(place.direction, (3, 3)) * place.spacing
    affine[:3, 3] = place.origin
    check_affine(name, affine)
    return affine


def as_volume(place: Place) -> Place:
    """Return the place of a picture as that of a volume of one slice."""
    direction = np.eye(IN_3D)
    direction[:2, :2] = np.reshape(place.direction, (2, 2))
    return Place((*place.origin, 0.0), (*place.spacing, 1.0), tuple(direction.ravel().tolist()))


def place_of(scan: Scan) -> Place:
    """Of an image in any format; one that lies nowhere gets pixels of 1 at 0."""
    if isinstance(scan.source, Place):
        return scan.source
    if scan.affine is None:
        axes = len(scan.shape)
        return Place((0.0,) * axes, (1.0,) * axes, tuple(np.eye(axes).ravel().tolist()))
    axes_mm = scan.affine[:3, :3]
    spacing = np.linalg.norm(axes_mm, axis=0)
    direction = (axes_mm / spacing).ravel()
    return Place(tuple(scan.affine[:3, 3].tolist()), tuple(spacing.tolist()), tuple(direction.tolist()))


def scan_at(name: str, file: str, voxels: NDArray[np.generic], place: Place, warnings: tuple[str, ...] = ()) -> Scan:
    """Return the scan of a file: a volume, or a picture where its place has two axes.

    name: without the ending; file: with it, for messages.
    """
    is_volume = len(place.origin) == IN_3D
    affine = affine_of(file, place) if is_volume else None
    return Scan(name, voxels, is_volume, affine, source=place, warnings=warnings)
