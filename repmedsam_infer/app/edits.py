"""Edits as the page sends them, checked, to changes of a drawing. Nothing of what comes in is trusted."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

from repmedsam_infer.app.planes import Plane
from repmedsam_infer.errors import UsageError
from repmedsam_infer.interactive.drawing import Drawing, Sign

MOST_POINTS = 4096  # of a stroke
LARGEST_RADIUS = 500.0  # voxels
FARTHEST = 1e6  # voxels that a point may lie outside the image: its stroke is cut off
Change = Callable[[Drawing], Drawing]


@dataclass(frozen=True)
class Grid:
    """What edits are checked against: planes by the axis that they are across, voxels and mm along each axis."""

    planes: Mapping[str, Plane]
    shape: Mapping[str, int]
    spacing: Mapping[str, float] | None


def change_of(edit: Mapping[str, Any], grid: Grid) -> Change:
    """Return what an edit does.

    Args:
        edit: of JSON, `do` and what belongs to it.
        grid: of the case.

    Raises:
        UsageError: it is not an edit that can be done.

    """
    kind = edit.get("do")
    if kind == "stroke":
        return stroke(edit, grid)
    make = EDITS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise UsageError(f"there is no edit {str(kind)[:40]!r}")
    return make(edit)


def add_object(edit: Mapping[str, Any]) -> Change:
    name, box = text(edit, "name"), corners(edit)
    return lambda drawing: drawing.add_object(name).add_box(drawing.next_id, "+", box)


def add_box(edit: Mapping[str, Any]) -> Change:
    return partial(Drawing.add_box, object_id=whole(edit, "object"), sign=sign_of(edit), box=corners(edit))


def set_box(edit: Mapping[str, Any]) -> Change:
    return partial(Drawing.set_box, object_id=whole(edit, "object"), mark_id=whole(edit, "mark"), box=corners(edit))


def follow(edit: Mapping[str, Any]) -> Change:
    return partial(Drawing.set_follow, object_id=whole(edit, "object"), mark_id=whole(edit, "mark"), follow=True)


def rename(edit: Mapping[str, Any]) -> Change:
    return partial(Drawing.rename, object_id=whole(edit, "object"), name=text(edit, "name"))


def remove_mark(edit: Mapping[str, Any]) -> Change:
    return partial(Drawing.remove_mark, object_id=whole(edit, "object"), mark_id=whole(edit, "mark"))


def remove_object(edit: Mapping[str, Any]) -> Change:
    return partial(Drawing.remove_object, object_id=whole(edit, "object"))


EDITS: Mapping[str, Callable[[Mapping[str, Any]], Change]] = {
    "add_object": add_object,
    "add_box": add_box,
    "set_box": set_box,
    "follow": follow,
    "rename": rename,
    "remove_mark": remove_mark,
    "remove_object": remove_object,
}


def stroke(edit: Mapping[str, Any], grid: Grid) -> Change:
    plane = grid.planes.get(str(edit.get("axis")))
    if plane is None:
        raise UsageError("a stroke is on a plane of the image")
    index = whole(edit, "index")
    if not 0 <= index < grid.shape.get(plane.axis, 1):
        raise UsageError(f"there is no plane {index} across {plane.axis}")
    radius = number(edit.get("radius"), "radius")
    if not 0 < radius <= LARGEST_RADIUS:
        raise UsageError(f"the radius of a brush is more than 0 and at most {LARGEST_RADIUS:g}")
    given = edit.get("points")
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_POINTS:
        raise UsageError(f"a stroke has 1 to {MOST_POINTS} points")
    points = tuple(point(one) for one in given)
    if "xyz".index(plane.horizontal) > "xyz".index(plane.vertical):  # strokes name x before y before z
        points = tuple((down, across) for across, down in points)
        if grid.spacing is not None:
            radius *= grid.spacing[plane.horizontal] / grid.spacing[plane.vertical]
    sign, axis = sign_of(edit), plane.axis
    if edit.get("object") is None:
        return lambda drawing: drawing.add_object().add_stroke(drawing.next_id, sign, axis, index, points, radius)
    one = whole(edit, "object")
    return lambda drawing: drawing.add_stroke(one, sign, axis, index, points, radius)


def point(given: Any) -> tuple[float, float]:
    if not isinstance(given, list) or len(given) != 2:
        raise UsageError("a point has two numbers")
    across, down = number(given[0], "point"), number(given[1], "point")
    if max(abs(across), abs(down)) > FARTHEST:
        raise UsageError("a point lies far outside the image")
    return across, down


def corners(edit: Mapping[str, Any]) -> tuple[int, ...]:
    given = edit.get("box")
    if not isinstance(given, list) or len(given) not in (4, 6) or not all(is_whole(value) for value in given):
        raise UsageError("a box is a list of 4 or 6 whole numbers")
    return tuple(int(value) for value in given)


def sign_of(edit: Mapping[str, Any]) -> Sign:
    sign = edit.get("sign")
    if sign == "+":
        return "+"
    if sign == "-":
        return "-"
    raise UsageError("the sign of a mark is + or -")


def text(edit: Mapping[str, Any], key: str) -> str:
    given = edit.get(key, "")
    if not isinstance(given, str):
        raise UsageError(f"{key} is not a text")
    return given


def whole(edit: Mapping[str, Any], key: str) -> int:
    given = edit.get(key)
    if not is_whole(given):
        raise UsageError(f"{key} is not a whole number")
    return int(given)


def is_whole(given: Any) -> TypeGuard[int | float]:
    return is_number(given) and given == int(given)


def is_number(given: Any) -> TypeGuard[int | float]:
    """Whether it is one that fits a float: integers of JSON may be beyond."""
    return isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= sys.float_info.max


def number(given: Any, key: str) -> float:
    if not is_number(given):
        raise UsageError(f"{key} is not a number")
    return float(given)
