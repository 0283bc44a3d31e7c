"""Images and boxes into the network's 256 x 256 frame (challenge baseline; paper section 2.1), whole or in close views.

`View` is the one piece of geometry: it maps images and boxes in, and postprocess.py maps masks out by it. Every slice
has its whole view. In a large picture a small box is a few pixels of that: it gets a close view besides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import UsageError

FRAME_SIZE = 256
LAST_EDGE = np.array([0, 0, 1, 1], np.float32)  # from an inclusive last pixel to the edge behind it
ROUNDING = 1e-3  # pixels that float32 may be off by
SMALLEST_RANGE = 1e-8  # what a constant image is divided by

# Close views, chosen on half of the full-resolution pictures (docs/experiments.md).
Levels = tuple[float, float]  # grey levels that become 0 and 1
Zoom = Literal["auto", "off", "full"]
ZOOMS: tuple[Zoom, ...] = ("auto", "off", "full")
VIEW_SIDE = 8.0  # of a close view, in longer sides of its largest box: less context costs more than finer pixels gain
HALF_IMAGE = 0.5  # of the image's longer side: close views are not larger, unless a box needs it
LEAST_SIDE = 4.0  # of a close view, in longer sides of its largest box, where half the image is less than VIEW_SIDE
SMALLEST_VIEW = 48  # image pixels
LARGEST_BOX = 56  # frame pixels of the whole view: larger boxes are shown finely enough there
CLOSE_WEIGHT = 0.6  # of the close view's logits in the mean of both
SMALLER = 2.0  # a view is shared by boxes whose own ones would be up to this many times smaller
AROUND = 1.0  # of a box's side: what a view shows on each side of it
MOST_VIEWS = {"auto": 4, "off": 0, "full": 16}
ENCODING = 16  # decodings of a box that take as long
SEEDS = 64  # boxes that a view is tried around


@dataclass(frozen=True)
class View:
    """A rectangle of a slice in a size x size frame: top left, its longest side filling the frame.

    height, width: of the rectangle, in image pixels.
    left, top: the rectangle's first column and row; 0 and 0 where it is the whole slice.
    mirrored: whether the frame shows it with left and right exchanged.
    """

    height: int
    width: int
    size: int = FRAME_SIZE
    left: int = 0
    top: int = 0
    mirrored: bool = field(default=False, kw_only=True)

    @property
    def scale(self) -> float:
        """Frame pixels per image pixel."""
        return self.size / max(self.height, self.width)

    @property
    def new_height(self) -> int:
        return max(1, int(self.height * self.scale + 0.5))

    @property
    def new_width(self) -> int:
        return max(1, int(self.width * self.scale + 0.5))

    def resized(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the view out of an (H, W[, 3]) image and resize its longest side to `size`."""
        crop = image[self.top : self.top + self.height, self.left : self.left + self.width]
        return np.asarray(cv2.resize(crop, (self.new_width, self.new_height), interpolation=cv2.INTER_AREA), np.uint8)

    def levels(self, image: NDArray[np.uint8]) -> Levels:
        """Return the lowest and the highest value of the resized view, over all channels."""
        resized = self.resized(image)
        return float(resized.min()), float(resized.max())

    def place_image(self, image: NDArray[np.uint8], levels: Levels | None = None) -> NDArray[np.float32]:
        """(H, W, 3) or (H, W) uint8 -> (3, size, size) float32: the view resized, min-max normalised, zero-padded.

        `levels` become 0 and 1: those of the whole view for a close one, else the view's own. Between them is [0, 1].
        """
        resized = self.resized(image)
        low, high = (float(resized.min()), float(resized.max())) if levels is None else levels
        normalised = (resized.astype(np.float32) - low) / max(high - low, SMALLEST_RANGE)
        if self.mirrored:
            normalised = normalised[:, ::-1]
        placed = np.zeros((3, self.size, self.size), np.float32)
        # A grey image broadcasts over the three channels.
        placed[:, : self.new_height, : self.new_width] = np.moveaxis(np.atleast_3d(normalised), -1, 0)
        return placed

    def place_boxes(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 4) inclusive x_min y_min x_max y_max in image pixels -> the same in frame pixels.

        The pixels first..last cover first..last + 1, and it is this extent that is scaled. (The baseline scales the
        indices, which makes the box of an enlarged image too small at its right and bottom by up to a pixel of it.)
        """
        corner = np.array([self.left, self.top] * 2, np.float32)
        placed = (np.asarray(boxes, np.float32) - corner + LAST_EDGE) * np.float32(self.scale) - LAST_EDGE
        return self.mirror(placed) if self.mirrored else placed

    def mirror(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 4) inclusive boxes in frame pixels, left and right of the rectangle exchanged; its own inverse."""
        last = np.float32(self.width * self.scale - 1)
        return np.stack([last - boxes[:, 2], boxes[:, 1], last - boxes[:, 0], boxes[:, 3]], axis=1)

    def pixels(self, box: NDArray[np.float32]) -> tuple[slice, slice]:
        """Rows and columns of the image that a box (4,) in frame pixels touches."""
        box = self.mirror(box[None])[0] if self.mirrored else box
        low = np.floor(box[:2] / self.scale + ROUNDING).astype(int)
        high = np.ceil((box[2:] + 1) / self.scale - ROUNDING).astype(int)
        (left, top), (right, bottom) = np.maximum(low, 0), np.minimum(high, (self.width, self.height))
        return slice(int(top) + self.top, int(bottom) + self.top), slice(int(left) + self.left, int(right) + self.left)

    def edges(self, roi: NDArray[np.float32]) -> list[float]:
        """Left, top, right and bottom edge, in image pixels, of a (4,) roi in frame pixels.

        What is left in the frame of a mirrored view is right in the image: there the left edge is the larger number.
        """
        left, top, right, bottom = (roi / self.scale).tolist()
        if self.mirrored:
            left, right = self.width - left, self.width - right
        return [left + self.left, top + self.top, right + self.left, bottom + self.top]


@dataclass(frozen=True)
class Picture:
    """An (H, W) or (H, W, 3) uint8 image whose views are encoded, with the levels of the whole view in all of them."""

    image: NDArray[np.uint8]

    @cached_property
    def whole(self) -> View:
        return View(*self.image.shape[:2])

    @cached_property
    def levels(self) -> Levels:
        return self.whole.levels(self.image)

    def place(self, view: View) -> NDArray[np.float32]:
        """Return the (3, size, size) frame of a view of it."""
        return view.place_image(self.image, None if view == self.whole else self.levels)


def check_zoom(text: str) -> Zoom:
    """Return one of ZOOMS. Raises UsageError where it is none."""
    for zoom in ZOOMS:
        if zoom == text:
            return zoom
    raise UsageError(f"the zoom {text!r} is unknown; {', '.join(ZOOMS)} are possible")


def close_views(boxes: NDArray[np.float32], whole: View, zoom: Zoom) -> list[tuple[View, NDArray[np.intp]]]:
    """Close views of a picture, each with the indices of the boxes that are decoded on it, too.

    Boxes near each other share a view. With `auto` a case takes at most twice as long as without: views that show most
    boxes come first, and the other boxes have the whole view alone.

    Args:
        boxes: (N, 4) inclusive, in image pixels, inside the image.
        whole: the whole view.
        zoom: `full` allows more views, whatever they cost; `off` none.

    """
    longest = max(whole.height, whole.width)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) + 1
    wanted = np.clip(HALF_IMAGE * longest, np.maximum(LEAST_SIDE * sides, SMALLEST_VIEW), VIEW_SIDE * sides)
    wanted = np.maximum(wanted, SMALLEST_VIEW)
    waiting = np.flatnonzero((sides * whole.scale < LARGEST_BOX) & (wanted < longest))
    around = with_surroundings(boxes, whole)
    budget = ENCODING + len(boxes) if zoom == "auto" else np.inf
    views: list[tuple[View, NDArray[np.intp]]] = []
    while len(waiting) and len(views) < MOST_VIEWS[zoom]:
        seeds = waiting[:: -(-len(waiting) // SEEDS)]
        tried = [view_around(boxes[seed], float(wanted[seed]), whole) for seed in seeds]
        shown = shown_on(tried, around[waiting], wanted[waiting])
        best = int(shown.sum(axis=1).argmax())
        budget -= ENCODING + int(shown[best].sum())
        if budget < 0:
            break
        views.append((tried[best], waiting[shown[best]]))
        waiting = waiting[~shown[best]]
    return views


def view_around(box: NDArray[np.float32], side: float, whole: View) -> View:
    """Return the square of `side` image pixels around a (4,) box, moved and cut to lie in the image."""
    width, height = min(round(side), whole.width), min(round(side), whole.height)
    x, y = ((box[:2] + box[2:] + 1) / 2).tolist()
    left = min(max(round(x - width / 2), 0), whole.width - width)
    top = min(max(round(y - height / 2), 0), whole.height - height)
    return View(height, width, whole.size, left, top)


def with_surroundings(boxes: NDArray[np.float32], whole: View) -> NDArray[np.float32]:
    """(N, 4) inclusive boxes -> left, top, right and bottom edge of what a view has to show of each, in the image."""
    low, high = boxes[:, :2], boxes[:, 2:] + 1
    more = AROUND * (high - low).max(axis=1, keepdims=True, initial=0)
    return np.concatenate([np.maximum(low - more, 0), np.minimum(high + more, (whole.width, whole.height))], axis=1)


def shown_on(views: Sequence[View], around: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(V, N) whether a view shows a box with enough `around` it, (N, 4), and not much smaller than its own would.

    wanted: (N,) sides of the boxes' own views.
    """
    first = np.array([(view.left, view.top) for view in views])[:, None]
    last = np.array([(view.left + view.width, view.top + view.height) for view in views])[:, None]
    side = (last - first).max(axis=2)
    of_size = (wanted <= side + 1) & (wanted * SMALLER >= side)
    return np.asarray(of_size & (around[:, :2] >= first).all(axis=2) & (around[:, 2:] <= last).all(axis=2), np.bool_)
