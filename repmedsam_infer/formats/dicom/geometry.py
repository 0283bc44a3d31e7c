"""Planes in space, to a stack: their order, and the affine from voxels to mm. Or the reason why they are no stack.

A stack is upright and even: planes of one orientation, one above the other along their normal, at equal distances. What
differs from that by no more than rounding in the header is taken for it; the bounds below say what rounding is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError

F64 = NDArray[np.float64]

ANGLE_TOLERANCE = 1e-3  # of direction cosines: unit length, right angle, the same in every plane
SAME_POSITION = 1e-3  # mm along the normal: two planes nearer than that lie at one place
GAP_TOLERANCE = 0.15  # of the distance between slices: how far one may lie from its place in an even stack
SHIFT_TOLERANCE = 0.25  # of a pixel: how far one may lie beside the straight line through the stack
MAX_GROUPS = 4  # of unlike slices that a message names


@dataclass(frozen=True)
class SlicePosition:
    """Where one plane lies, as its header says.

    name: what messages call it.
    position: (3,) mm LPS, the centre of its first pixel.
    orientation: (6,) direction of growing column index, then of growing row index.
    spacing: (2,) mm between rows, then between columns.
    """

    name: str
    position: F64
    orientation: F64
    spacing: F64


def stack_planes(name: str, planes: Sequence[SlicePosition]) -> tuple[list[int], F64]:
    """Order two or more planes along their normal, and find the affine of voxels (column, row, slice, 1) to mm LPS.

    The normal is the right-handed one, columns x rows. A voxel's position is that of its plane's header to within
    SHIFT_TOLERANCE and GAP_TOLERANCE, and exactly where the header is even.

    Raises:
        CaseReadError: they are no stack; the sentence says where, and what to do.

    """
    rows, columns = axes_of(name, planes[0])
    check_alike(name, planes)
    normal = np.cross(rows, columns)
    positions = np.stack([plane.position for plane in planes])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    ordered = [planes[i] for i in order]
    along, positions = along[order], positions[order]
    check_apart(name, ordered, along)
    check_upright(name, ordered, positions, normal)
    first, step = even_places(along)
    check_even(name, ordered, along, first, step)

    beside = positions - along[:, None] * normal
    affine = np.eye(4)
    affine[:3, 0] = rows * planes[0].spacing[1]
    affine[:3, 1] = columns * planes[0].spacing[0]
    affine[:3, 2] = normal * step
    affine[:3, 3] = beside.mean(0) + first * normal
    return order.tolist(), affine


def axes_of(name: str, plane: SlicePosition) -> tuple[F64, F64]:
    """(3,) unit vectors of growing column and of growing row index."""
    rows, columns = plane.orientation[:3], plane.orientation[3:]
    lengths = float(np.linalg.norm(rows)), float(np.linalg.norm(columns))
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(float(rows @ columns))) > ANGLE_TOLERANCE:
        raise CaseReadError(
            f"{name}: ImageOrientationPatient of {plane.name} is {_numbers(plane.orientation)}, which are not two unit "
            "vectors at a right angle: the header is damaged; export the image again"
        )
    # Rounded cosines are not quite at a right angle; the affine's are, as other programs demand.
    rows = rows / lengths[0]
    columns = columns - (columns @ rows) * rows
    return rows, columns / np.linalg.norm(columns)


def check_alike(name: str, planes: Sequence[SlicePosition]) -> None:
    """All of one orientation and pixel spacing."""
    directions = _distinct([plane.orientation for plane in planes], np.full(6, ANGLE_TOLERANCE))
    if len(directions) > 1:
        counts = ", ".join(f"{len(group)} like {planes[group[0]].name}" for group in directions)
        raise CaseReadError(
            f"{name}: its images lie in different directions ({counts}), as those of a localizer do; "
            "give a folder with the images of one direction"
        )
    if any((plane.spacing <= 0).any() for plane in planes):
        bad = next(plane for plane in planes if (plane.spacing <= 0).any())
        raise CaseReadError(
            f"{name}: PixelSpacing of {bad.name} is {_numbers(bad.spacing)} mm: the header is damaged; "
            "export the image again"
        )
    spacings = _distinct([plane.spacing for plane in planes], planes[0].spacing * ANGLE_TOLERANCE)
    if len(spacings) > 1:
        first, other = planes[spacings[0][0]], planes[spacings[1][0]]
        raise CaseReadError(
            f"{name}: its images differ in PixelSpacing ({_numbers(first.spacing)} mm in {first.name}, "
            f"{_numbers(other.spacing)} mm in {other.name}); give a folder with images of one kind"
        )


def check_apart(name: str, ordered: Sequence[SlicePosition], along: F64) -> None:
    """No two at one place."""
    steps = np.diff(along)
    if (steps >= SAME_POSITION).all():
        return
    places = np.split(np.arange(len(ordered)), np.flatnonzero(steps >= SAME_POSITION) + 1)
    counts = {len(place) for place in places}
    if len(counts) == 1:
        count = counts.pop()
        raise CaseReadError(
            f"{name}: {count} images at each of {len(places)} positions (several time points, echoes or diffusion "
            "weightings); give a folder with one of these volumes"
        )
    place = next(place for place in places if len(place) > 1)
    first, second = ordered[place[0]], ordered[place[1]]
    raise CaseReadError(
        f"{name}: {first.name} and {second.name} lie at the same position ({along[place[0]]:.2f} mm along the normal); "
        "take away those that do not belong to the volume"
    )


def check_upright(name: str, ordered: Sequence[SlicePosition], positions: F64, normal: F64) -> None:
    """One above the other, as a tilted gantry's are not."""
    beside = positions - (positions @ normal)[:, None] * normal
    shifts = np.linalg.norm(beside - beside.mean(0), axis=1)
    if shifts.max() <= SHIFT_TOLERANCE * ordered[0].spacing.min():
        return
    height = float((positions[-1] - positions[0]) @ normal)
    drift = beside[-1] - beside[0]
    straight = beside[0] + np.outer((positions - positions[0]) @ normal / height, drift)
    if np.linalg.norm(beside - straight, axis=1).max() <= SHIFT_TOLERANCE * ordered[0].spacing.min():
        angle = np.degrees(np.arctan2(np.linalg.norm(drift), height))
        raise CaseReadError(
            f"{name}: its slices lean by {angle:.1f} degrees (gantry tilt): they are not stacked along their normal; "
            "resample them to an upright volume first (dcm2niix does it), and give that"
        )
    worst = int(shifts.argmax())
    raise CaseReadError(
        f"{name}: {ordered[worst].name} lies {shifts[worst]:.2f} mm beside the others, which are stacked along their "
        "normal; give a folder with the slices of one volume"
    )


def even_places(along: F64) -> tuple[float, float]:
    """Place of the first slice and distance of all in the even stack that comes nearest to (D,) places in mm."""
    indices = np.arange(len(along)) - (len(along) - 1) / 2
    step = float(indices @ along / (indices @ indices))
    return float(along.mean() + step * indices[0]), step


def check_even(name: str, ordered: Sequence[SlicePosition], along: F64, first: float, step: float) -> None:
    """At equal distances."""
    even = first + step * np.arange(len(along))
    if np.abs(along - even).max() <= GAP_TOLERANCE * step:
        return
    steps = np.diff(along)
    usual = float(np.median(steps))
    odd = np.flatnonzero(np.abs(steps - usual) > GAP_TOLERANCE * usual)
    worst = int(np.abs(steps - usual).argmax())
    missing = [i for i in odd if steps[i] > 1.5 * usual and abs(steps[i] / usual - round(steps[i] / usual)) < 0.1]
    if len(odd) and len(missing) == len(odd):
        lost = sum(round(steps[i] / usual) - 1 for i in missing)
        what = f"{lost} slice{'s are' if lost > 1 else ' is'} missing"
        advice = "get the whole series"
    else:
        what = f"the distances between its slices vary from {steps.min():.2f} to {steps.max():.2f} mm"
        advice = "resample it to even slices first"
    raise CaseReadError(
        f"{name}: {what}: {ordered[worst].name} and {ordered[worst + 1].name} are {steps[worst]:.2f} mm apart "
        f"(at {along[worst]:.2f} and {along[worst + 1]:.2f} mm along the normal), most others {usual:.2f} mm; {advice}"
    )


def _distinct(values: Sequence[F64], tolerance: F64) -> list[NDArray[np.intp]]:
    """Group the indices of values that are the same to within a tolerance; at most MAX_GROUPS groups are returned."""
    stacked, groups = np.stack(values), list[NDArray[np.intp]]()
    left = np.arange(len(values))
    while len(left) and len(groups) < MAX_GROUPS:
        same = (np.abs(stacked[left] - stacked[left[0]]) <= tolerance).all(1)
        groups.append(left[same])
        left = left[~same]
    return groups


def _numbers(values: F64) -> str:
    return "[" + " ".join(f"{value:g}" for value in values) + "]"
