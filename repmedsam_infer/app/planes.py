"""Planes of a volume as radiologists view them: which axis runs where on the screen, and the letters at its sides."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.scan_case import CaseLayout
from repmedsam_infer.formats.slice_axis import nearest_axes
from repmedsam_infer.interactive.drawing import Axis
from repmedsam_infer.interactive.strokes import AXES

SIDE, BACK, HEAD = 0, 1, 2  # axes of LPS
TOWARDS, AWAY = ("L", "P", "S"), ("R", "A", "I")  # letters at the two ends of these axes
NAMES = ("sagittal", "coronal", "axial")  # of planes across these axes
CASE_AXES: tuple[Axis, ...] = ("z", "y", "x")  # of the axes of a case's array


@dataclass(frozen=True)
class Direction:
    """Where an axis of a case runs to: an axis of LPS, and whether along it or against it."""

    axis: int
    positive: bool

    @property
    def letters(self) -> tuple[str, str]:
        """At its first and at its last voxel."""
        ends = AWAY[self.axis], TOWARDS[self.axis]
        return ends if self.positive else ends[::-1]


@dataclass(frozen=True)
class Plane:
    """A plane across `axis`: which axes are horizontal and vertical on the screen, and which of them are flipped.

    letters: left, right, top, bottom; None where it is not known how the image lies in the patient.
    """

    axis: Axis
    name: str
    horizontal: Axis
    vertical: Axis
    flip_horizontal: bool = False
    flip_vertical: bool = False
    letters: tuple[str, str, str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        sides = ("left", "right", "top", "bottom")
        return {
            "axis": self.axis,
            "name": self.name,
            "horizontal": self.horizontal,
            "vertical": self.vertical,
            "flip_horizontal": self.flip_horizontal,
            "flip_vertical": self.flip_vertical,
            "letters": None if self.letters is None else dict(zip(sides, self.letters, strict=True)),
        }

    def array_axes(self) -> tuple[int, int]:
        """Axes of a (D, H, W) array that are the rows and columns of this plane."""
        return AXES[self.vertical], AXES[self.horizontal]


def planes_of(scan: Scan, layout: CaseLayout) -> tuple[Plane, ...]:
    """Return the planes of a case; the one that the network sees first."""
    if not layout.is_volume:
        return (Plane("z", "picture", "x", "y"),)
    directions = directions_of(scan, layout)
    if directions is None:
        upwards = True  # slices are mostly numbered from the feet to the head
        return (
            Plane("z", "slices", "x", "y"),
            Plane("y", "front", "x", "z", flip_vertical=upwards),
            Plane("x", "side", "y", "z", flip_vertical=upwards),
        )
    return tuple(plane_across(axis, directions) for axis in CASE_AXES)


def plane_across(axis: Axis, directions: dict[Axis, Direction]) -> Plane:
    # Upright is what runs to the head, else to the back; across what runs to the left, else to the back.
    vertical, horizontal = sorted((a for a in CASE_AXES if a != axis), key=lambda a: -directions[a].axis)
    across, down = directions[horizontal], directions[vertical]
    flip_horizontal = not across.positive
    flip_vertical = down.positive if down.axis == HEAD else not down.positive
    left, right = across.letters[::-1] if flip_horizontal else across.letters
    top, bottom = down.letters[::-1] if flip_vertical else down.letters
    return Plane(
        axis,
        NAMES[directions[axis].axis],
        horizontal,
        vertical,
        flip_horizontal,
        flip_vertical,
        (left, right, top, bottom),
    )


def directions_of(scan: Scan, layout: CaseLayout) -> dict[Axis, Direction] | None:
    """Where each axis of the case runs to; None where the scan lies nowhere."""
    if scan.affine is None:
        return None
    axes_mm = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    towards = nearest_axes(axes_mm)
    found: dict[Axis, Direction] = {}
    for axis, in_voxels, flipped in zip(CASE_AXES, layout.order.order, layout.order.flipped, strict=True):
        of_file = 2 - in_voxels
        along = bool(axes_mm[towards[of_file], of_file] > 0)
        found[axis] = Direction(towards[of_file], along != flipped)
    return found
