"""One viewer's image and what it said of one object in it: the object's mask.

A box that is one voxel thick is on a slice across that axis, whichever it is: the image is segmented slice by slice
along it. A thicker one is a box of six numbers, on slices across the axis of clearly largest spacing, else the first.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import Boxes
from repmedsam_infer.case import Case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.intensity import Window, to_grey
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.slice_axis import clearly_largest
from repmedsam_infer.interactive.box_mask import BoxMask
from repmedsam_infer.interactive.drawing import BoxMark
from repmedsam_infer.interactive.picture_masks import ViewEmbeddings, decode_boxes
from repmedsam_infer.interactive.volume_masks import VolumeMasks
from repmedsam_infer.preprocess import Picture
from repmedsam_infer.serve.between_boxes import mask_of_boxes
from repmedsam_infer.serve.prompts import AXES, BoxPrompt, MaskPrompt, Prompt, box_prompt, is_number

Mask = NDArray[np.bool_]
Region = tuple[slice, slice, slice]
MOST_STEPS = 200  # that can be undone
MOST_PROMPTS = 500  # of one object


class Engines(Protocol):
    """Gives the engine for volumes, or that for pictures."""

    def __call__(self, *, volumes: bool) -> Engine:
        """Raise SetupError where it cannot be loaded."""
        ...


@dataclass(frozen=True)
class Changed:
    """Where a mask has changed, and what it is there."""

    where: Region
    mask: Mask


class PromptedVolume:
    """An image and an object in it. One thread at a time.

    Args:
        engines: what segments.
        window: of grey levels, for images that are not of 8 bits; None for what suits them.

    """

    def __init__(self, engines: Engines, window: Window | str | None = None) -> None:
        self.engines, self.window = engines, window
        self.grey: NDArray[np.uint8] | None = None
        self.zoom = True
        self.forget()

    def forget(self) -> None:
        """Begin another object."""
        self.steps: list[tuple[Prompt, ...]] = [()]
        self.shown: Mask | None = None  # what the viewer has; None is empty

    def set_image(self, image: NDArray[Any], spacing: object) -> tuple[int, ...]:
        """Take a (1, X, Y, Z) image and begin; returns its shape.

        Args:
            image: numbers of any type.
            spacing: three numbers, mm along its axes; anything else is ignored.

        Raises:
            CaseReadError: it has another number of axes or channels, or values that are not finite.

        """
        self.grey = None  # what is refused leaves no other image behind
        if image.ndim != AXES + 1 or image.shape[0] != 1:
            raise CaseReadError(f"an image of shape (1, X, Y, Z) is needed, one channel; this is {image.shape}")
        self.grey, _ = to_grey(Scan("the image", np.ascontiguousarray(image[0]), is_volume=True), self.window)
        self.slices_across = axis_of(spacing, self.grey.shape)
        self.volumes: OrderedDict[int, VolumeMasks] = OrderedDict()
        self.picture: ViewEmbeddings | None = None
        self.forget()
        return tuple(image.shape)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Raise UsageError where there is no image."""
        if self.grey is None:
            raise UsageError("send an image first (set_image)")
        x, y, z = self.grey.shape
        return x, y, z

    def add_box(self, coordinates: object, *, adds: bool) -> None:
        """Raise UsageError where it is no box on the image."""
        self.add(box_prompt(coordinates, self.shape, adds=adds))

    def take_over(self, labels: NDArray[Any]) -> None:
        """Begin with an object that there is: what is not 0. Raises UsageError where it is of another shape."""
        shape = self.shape
        if labels.shape != shape:
            raise UsageError(f"the label map has the shape {list(labels.shape)}, the image {list(shape)}")
        mask = labels != 0
        self.forget()
        self.add(MaskPrompt(np.packbits(mask), shape))
        self.shown = mask  # the viewer has it already

    def add(self, prompt: Prompt) -> None:
        if len(self.steps[-1]) >= MOST_PROMPTS:
            raise UsageError(f"the object has {MOST_PROMPTS} prompts already, which is the most")
        self.steps = [*self.steps, (*self.steps[-1], prompt)][-MOST_STEPS - 1 :]

    def undo(self) -> bool:
        """Take the last prompt back; returns whether there was one."""
        if len(self.steps) < 2:
            return False
        self.steps.pop()
        return True

    def update(self) -> Changed | None:
        """Work out the mask, and return where it is not what the viewer has; None where it is."""
        now = self.mask()
        before = self.shown if self.shown is not None else np.zeros(self.shape, bool)
        self.shown = now
        different = now != before
        if not different.any():
            return None
        ends = [np.flatnonzero(different.any(axis=tuple(a for a in range(AXES) if a != axis))) for axis in range(AXES)]
        x, y, z = (slice(int(one[0]), int(one[-1]) + 1) for one in ends)
        return Changed((x, y, z), now[x, y, z])

    def mask(self) -> Mask:
        """Return the object: prompts in order; boxes on slices of one axis together, where the last of them is."""
        mask = np.zeros(self.shape, bool)
        waiting: dict[int, list[BoxPrompt]] = {}  # boxes on slices, by axis
        for prompt in self.steps[-1]:
            if isinstance(prompt, BoxPrompt) and prompt.adds and prompt.across is not None:
                waiting.setdefault(prompt.across, []).append(prompt)
        for prompt in self.steps[-1]:
            if isinstance(prompt, MaskPrompt):
                mask = prompt.mask()
                continue
            axis = self.slices_across if prompt.across is None else prompt.across
            together = waiting[axis] if prompt.adds and prompt.across is not None else []
            if together and prompt is not together[-1]:
                continue
            known = self.mask_on_slices(together, axis) if together else self.mask_of_box(prompt, axis)
            where = np.moveaxis(mask, axis, 0)[known.where]  # a view
            if prompt.adds:
                where |= known.mask
            else:
                where &= ~known.mask
        return mask

    def mask_of_box(self, prompt: BoxPrompt, axis: int) -> BoxMask:
        """Mask of a box on the slices that it spans."""
        if prompt.across is not None and self.shape[prompt.across] == 1:
            return self.mask_on_picture(prompt)
        return self.mask_of_mark(BoxMark(0, "+", prompt.on_slices(axis)), axis)

    def mask_on_slices(self, boxes: list[BoxPrompt], axis: int) -> BoxMask:
        """Mask of an object of boxes on slices across one axis."""
        if self.shape[axis] == 1:
            return self.mask_on_picture(boxes[-1])
        by_slice = {box.low[axis]: box.on_slices(axis) for box in boxes}  # of two on one slice the later one
        if len(by_slice) > 1:
            return mask_of_boxes(list(by_slice.values()), self.volume_across(axis), self.engines(volumes=True))
        return self.mask_of_mark(BoxMark(0, "+", next(iter(by_slice.values())), follow=True), axis)

    def mask_of_mark(self, mark: BoxMark, axis: int) -> BoxMask:
        """Mask of a box on slices across an axis, worked out if it is not known."""
        volume = self.volume_across(axis)
        if volume.known(mark) is None:
            volume.work_out([mark], self.engines(volumes=True), lambda *_: None)
        known = volume.known(mark)
        assert known is not None
        return BoxMask(known.where, volume.clean(known), known.corners, known.confidence)

    def mask_on_picture(self, prompt: BoxPrompt) -> BoxMask:
        """Mask of a box on an image of one slice, as on any picture."""
        assert prompt.across is not None
        assert self.grey is not None
        if self.picture is None:
            self.picture = ViewEmbeddings(Picture(np.ascontiguousarray(np.moveaxis(self.grey, prompt.across, 0)[0])))
        x0, y0, _, x1, y1, _ = prompt.on_slices(prompt.across)
        box = np.array([[x0, y0, x1, y1]], np.float32)
        (known,) = decode_boxes(box, self.picture, self.engines(volumes=False), "auto" if self.zoom else "off")
        return BoxMask((slice(0, 1), *known.where), known.mask[None], known.corners, known.confidence)

    def volume_across(self, axis: int) -> VolumeMasks:
        """Return what is known of the slices across an axis; embeddings of one axis alone are kept."""
        assert self.grey is not None
        if axis not in self.volumes:
            imgs = np.moveaxis(self.grey, axis, 0)
            case = Case("the image", imgs, Boxes(np.zeros((0, 6)), np.zeros(0, np.int64), 0), None, (), is_volume=True)
            self.volumes[axis] = VolumeMasks(case, self.engines(volumes=True))
        for other, volume in self.volumes.items():
            if other != axis:
                volume.embeddings.kept.clear()
        return self.volumes[axis]


def axis_of(spacing: object, shape: tuple[int, ...]) -> int:
    """Return the axis that slices lie across: of a single voxel, or of clearly the largest spacing; else the first."""
    if 1 in shape:
        return shape.index(1)
    if isinstance(spacing, list) and len(spacing) == AXES and all(is_number(mm) and mm != 0 for mm in spacing):
        # napari gives an axis that it shows the other way round a negative spacing.
        largest = clearly_largest(np.abs(np.array(spacing, np.float64)))
        return 0 if largest is None else largest
    return 0
