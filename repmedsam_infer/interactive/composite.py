"""Masks of boxes and strokes to one label map: what `segment` gives for single boxes, bit for bit, and the rest on top.

Masks are painted from the largest box to the smallest, as everywhere (boxes.py). What a person painted by hand wins
over masks, and of two strokes the later one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import bottom_to_top
from repmedsam_infer.case import Segmentation
from repmedsam_infer.interactive.box_mask import BoxMask
from repmedsam_infer.interactive.drawing import BoxMark, Drawing, DrawnObject, StrokeMark
from repmedsam_infer.interactive.strokes import stroke_voxels
from repmedsam_infer.postprocess import paint

Mask = NDArray[np.bool_]
Where = tuple[slice, ...]
Piece = tuple[Where, Mask]
MOST_LABELS = 255  # of uint8


@dataclass(frozen=True)
class Painted:
    """One object, ready to be painted.

    corners: the box that decides what lies on top.
    single: the mask of its only box, if that is all there is of it.
    strokes: what was added by hand and is still a part of it, by mark.
    """

    label: int
    where: Where
    mask: Mask
    corners: tuple[float, ...]
    single: BoxMask | None
    strokes: tuple[tuple[int, Piece], ...] = ()


@dataclass(frozen=True)
class Composer:
    """What label maps of one image are made with.

    shape: (H, W) or (D, H, W). spacing: mm along each of these axes, or None.
    known: the mask of a box, if it is worked out. clean: that mask by itself.
    finish: what is done in the label map with a single box's label when all are painted.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None
    known: Callable[[BoxMark], BoxMask | None]
    clean: Callable[[BoxMask], Mask]
    finish: Callable[[Segmentation, BoxMask, int], None]

    def labels(self, drawing: Drawing) -> Segmentation:
        """Return the label map of what is known: object i has label i + 1."""
        few = len(drawing.objects) <= MOST_LABELS
        segs: Segmentation = np.zeros(self.shape, np.uint8) if few else np.zeros(self.shape, np.uint16)
        objects = [self.painted(label, one) for label, one in enumerate(drawing.objects, 1)]
        there = [one for one in objects if one is not None]
        if not there:
            return segs
        order = bottom_to_top(np.array([one.corners for one in there])).tolist()
        for i in order:
            paint(segs[there[i].where], there[i].mask, there[i].label)
        for i in order:
            single = there[i].single
            if single is not None:
                self.finish(segs, single, there[i].label)
        by_hand = sorted(((mark, piece, one) for one in there for mark, piece in one.strokes), key=lambda all_: all_[0])
        for _, (where, mask), one in by_hand:
            segs[where][mask] = one.label
        return segs

    def painted(self, label: int, one: DrawnObject) -> Painted | None:
        """Return an object as far as its masks are worked out; None where nothing is."""
        if one.single_box is not None:
            known = self.known(one.single_box)
            return None if known is None else Painted(label, known.where, known.mask, known.corners, known)
        pieces = [(mark, piece) for mark in one.marks if (piece := self.piece(mark)) is not None]
        added = [where for mark, (where, _) in pieces if mark.sign == "+"]
        if not added:
            return None
        whole = tuple(
            slice(min(where[axis].start for where in added), max(where[axis].stop for where in added))
            for axis in range(len(self.shape))
        )
        mask = np.zeros(tuple(part.stop - part.start for part in whole), bool)
        for mark, (where, of_mark) in pieces:
            target, source = common(whole, where)
            if mark.sign == "+":
                mask[target] |= of_mark[source]
            else:
                mask[target] &= ~of_mark[source]
        corners = tuple(float(part.start) for part in whole[::-1]) + tuple(part.stop - 1.0 for part in whole[::-1])
        strokes = tuple(
            (mark.id, (where, of_mark & mask[common(whole, where)[0]]))
            for mark, (where, of_mark) in pieces
            if isinstance(mark, StrokeMark) and mark.sign == "+"
        )
        return Painted(label, whole, mask, corners, None, strokes)

    def piece(self, mark: BoxMark | StrokeMark) -> Piece | None:
        """Where a mark has an effect, and on which pixels; None where its mask is not worked out."""
        if isinstance(mark, StrokeMark):
            return stroke_voxels(mark, self.shape, self.spacing)
        known = self.known(mark)
        return None if known is None else (known.where, self.clean(known))


def common(outer: Where, inner: Where) -> tuple[Where, Where]:
    """Return what two indices into one array share, as an index into what each of them gives; it may be empty."""
    low = [max(a.start, b.start) for a, b in zip(outer, inner, strict=True)]
    high = [max(min(a.stop, b.stop), start) for a, b, start in zip(outer, inner, low, strict=True)]
    in_outer = tuple(slice(a - o.start, b - o.start) for a, b, o in zip(low, high, outer, strict=True))
    in_inner = tuple(slice(a - i.start, b - i.start) for a, b, i in zip(low, high, inner, strict=True))
    return in_outer, in_inner
