"""What a person has drawn on one image: objects, each of boxes and strokes in order. Values, never changed in place.

So undo is the drawing before, and what is worked out for a drawing is known by the drawing alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from repmedsam_infer.errors import UsageError

Sign = Literal["+", "-"]
Axis = Literal["x", "y", "z"]
LONGEST_NAME = 200  # characters
MOST_OBJECTS = 1000
MOST_MARKS = 2000  # of one object
MOST_POINTS = 500_000  # of all strokes: what is kept stays a small file


@dataclass(frozen=True)
class BoxMark:
    """A box that adds its mask to an object, or takes it away.

    box: x_min y_min x_max y_max, in a volume x_min y_min z_min x_max y_max z_max; voxels, ends inclusive.
    follow: in a volume, of a box on one slice: its object is followed through the volume.
    """

    id: int
    sign: Sign
    box: tuple[int, ...]
    follow: bool = False


@dataclass(frozen=True)
class StrokeMark:
    """A stroke of a round brush on one plane, that adds to an object or erases from it.

    axis, index: the plane is across this axis, at this voxel of it.
    points: along the other two axes, x before y before z, in voxels; pixel i covers i to i + 1.
    radius: in voxels of the first of these axes.
    """

    id: int
    sign: Sign
    axis: Axis
    index: int
    points: tuple[tuple[float, float], ...]
    radius: float


Mark = BoxMark | StrokeMark


@dataclass(frozen=True)
class DrawnObject:
    """An object: its marks are applied one after another."""

    id: int
    name: str
    marks: tuple[Mark, ...]

    @property
    def single_box(self) -> BoxMark | None:
        """Return its box where that is all there is of it: then its mask is what `segment` gives."""
        only = self.marks[0] if len(self.marks) == 1 else None
        return only if isinstance(only, BoxMark) and only.sign == "+" else None


@dataclass(frozen=True)
class Drawing:
    """All objects of an image, the first one's label 1.

    next_id: of the next object or mark; none is used twice, so that undone ones are not taken for new ones.
    """

    objects: tuple[DrawnObject, ...] = ()
    next_id: int = field(default=1, compare=False)

    def find(self, object_id: int) -> DrawnObject:
        """Return an object. Raises UsageError where there is none of this id."""
        for one in self.objects:
            if one.id == object_id:
                return one
        raise UsageError(f"there is no object {object_id}")

    def add_object(self, name: str = "") -> Self:
        """Add an object without marks, of id `next_id`; without a name it is called "object N"."""
        if len(self.objects) >= MOST_OBJECTS:
            raise UsageError(f"there are {MOST_OBJECTS} objects already, which is the most")
        one = DrawnObject(self.next_id, checked_name(name) or self.free_name(), ())
        return replace(self, objects=(*self.objects, one), next_id=self.next_id + 1)

    def free_name(self) -> str:
        """Return "object N" of the first N, from the next label on, that no object is called."""
        taken, number = {one.name for one in self.objects}, len(self.objects) + 1
        while f"object {number}" in taken:
            number += 1
        return f"object {number}"

    def add_box(self, object_id: int, sign: Sign, box: tuple[int, ...]) -> Self:
        return self._with_mark(object_id, BoxMark(self.next_id, sign, box))

    def add_stroke(
        self, object_id: int, sign: Sign, axis: Axis, index: int, points: tuple[tuple[float, float], ...], radius: float
    ) -> Self:
        drawn = sum(len(mark.points) for one in self.objects for mark in one.marks if isinstance(mark, StrokeMark))
        if drawn + len(points) > MOST_POINTS:
            raise UsageError(f"the strokes have {drawn} points already, and {MOST_POINTS} are the most")
        return self._with_mark(object_id, StrokeMark(self.next_id, sign, axis, index, points, radius))

    def set_box(self, object_id: int, mark_id: int, box: tuple[int, ...]) -> Self:
        """Move or resize a box. It is no longer followed: its ends are those that it is given."""
        return self._change_box(object_id, mark_id, lambda mark: replace(mark, box=box, follow=False))

    def set_follow(self, object_id: int, mark_id: int, *, follow: bool) -> Self:
        """Have a box on one slice of a volume followed, or no longer.

        Raises:
            UsageError: it is not on one slice of a volume.

        """

        def changed(mark: BoxMark) -> BoxMark:
            if len(mark.box) != 6 or mark.box[2] != mark.box[5]:
                raise UsageError("only a box on one slice of a volume can be followed from there")
            return replace(mark, follow=follow)

        return self._change_box(object_id, mark_id, changed)

    def remove_mark(self, object_id: int, mark_id: int) -> Self:
        """Remove a mark, and with its last one the object."""
        one = self.find(object_id)
        left = tuple(mark for mark in one.marks if mark.id != mark_id)
        if len(left) == len(one.marks):
            raise UsageError(f"the object {one.name!r} has no mark {mark_id}")
        return self._replace(replace(one, marks=left)) if left else self.remove_object(object_id)

    def rename(self, object_id: int, name: str) -> Self:
        one = self.find(object_id)
        return self._replace(replace(one, name=checked_name(name) or one.name))

    def remove_object(self, object_id: int) -> Self:
        self.find(object_id)
        return replace(self, objects=tuple(one for one in self.objects if one.id != object_id))

    def _replace(self, changed: DrawnObject) -> Self:
        return replace(self, objects=tuple(changed if one.id == changed.id else one for one in self.objects))

    def _with_mark(self, object_id: int, mark: Mark) -> Self:
        one = self.find(object_id)
        if len(one.marks) >= MOST_MARKS:
            raise UsageError(f"the object {one.name!r} has {MOST_MARKS} marks already, which is the most")
        return replace(self._replace(replace(one, marks=(*one.marks, mark))), next_id=self.next_id + 1)

    def _change_box(self, object_id: int, mark_id: int, change: Callable[[BoxMark], BoxMark]) -> Self:
        one = self.find(object_id)
        for mark in one.marks:
            if mark.id == mark_id and isinstance(mark, BoxMark):
                changed = change(mark)
                return self._replace(replace(one, marks=tuple(changed if m is mark else m for m in one.marks)))
        raise UsageError(f"the object {one.name!r} has no box {mark_id}")


def box_marks(drawing: Drawing) -> list[BoxMark]:
    """Return all boxes of a drawing in order of objects."""
    return [mark for one in drawing.objects for mark in one.marks if isinstance(mark, BoxMark)]


def checked_name(name: str) -> str:
    """Return a name without control characters and spaces around it. Raises UsageError where it is too long."""
    if len(name) > LONGEST_NAME:
        raise UsageError(f"a name has at most {LONGEST_NAME} characters")
    return "".join(character for character in name if character.isprintable()).strip()


def check_box_in(box: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Check a box against (H, W) or (D, H, W), as `segment` will.

    Raises:
        UsageError: it has another number of corners, ends before it begins, leaves the image, or is a single point.

    """
    sides = shape[::-1]
    if len(box) != 2 * len(sides):
        raise UsageError(f"a box of this image has {2 * len(sides)} numbers, not {len(box)}")
    low, high = box[: len(sides)], box[len(sides) :]
    if not all(0 <= a <= b < side for a, b, side in zip(low, high, sides, strict=True)):
        raise UsageError(f"the box {list(box)} does not lie in the image ({' x '.join(map(str, sides))})")
    if low[:2] == high[:2]:
        raise UsageError("the box is a single point")
