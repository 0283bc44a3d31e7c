"""One plane of an image with what was found on it: outlines, corners of boxes, numbers. RGB in and out, for looking at.

Outlines run along the masks' edges to a fraction of a pixel, over a dark halo that sets them off on bright images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import find_extents
from repmedsam_infer.drawing.label_colours import Color, label_color

U8 = NDArray[np.uint8]
Place = tuple[int, int, int, int]  # left, top, right, bottom; ends exclusive
Size = tuple[int, int]  # width, height
Line = tuple[list[NDArray[np.int32]], bool, Color]  # points of its parts, whether they are closed, the colour

WHITE: Color = (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX
TEXT_SCALE = 0.45  # about 12 pixels of height
PALE = 0.5  # of white in a number's colour: it has to be read on any image
FINEST = 0.5  # canvas pixels: outlines of a very large image are drawn to this
MOST_FINE = 8  # subpixels of a mask's edge, along each axis
SHIFT = 4  # fractional bits of a coordinate that OpenCV draws at
CROWD = 30  # from so many objects on, numbers that are larger than their object are left out
SMALLEST_MM = 1e-9  # of a pixel; spacing below it, or above its inverse, is of no image, and has no scale bar
LEAST_FOR_SCALE = 100  # pixels of height below which a plane has no scale bar
STEPS = (1, 2, 5)  # a scale bar is one of these, times a power of ten


@dataclass
class Canvas:
    """A picture being drawn.

    pixels: (h, w, 3) uint8 RGB.
    scale: canvas pixels a pixel of the image, x y.
    taken: where text is already.
    """

    pixels: U8
    scale: tuple[float, float]
    taken: list[Place] = field(default_factory=list)

    @property
    def size(self) -> Size:
        return self.pixels.shape[1], self.pixels.shape[0]

    def is_free(self, place: Place) -> bool:
        left, top, right, bottom = place
        if left < 0 or top < 0 or right > self.size[0] or bottom > self.size[1]:
            return False
        return not any(left < r and x < right and top < b and t < bottom for x, t, r, b in self.taken)


def draw_plane(
    image: U8,
    segs: NDArray[np.integer],
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    size: Size,
    keep_free: Sequence[Place] = (),
    below: Sequence[Line] = (),
) -> Canvas:
    """Draw an (H, W[, 3]) image of `size`, outlines of its (H, W) labels, and the (K, 4) inclusive boxes of `labels`.

    Numbers go where they hide no other number and nothing in `keep_free`; one that finds no such place is left out.
    `below` are lines under all others, on the canvas.
    """
    scale = size[0] / segs.shape[1], size[1] / segs.shape[0]
    interpolation = cv2.INTER_AREA if min(scale) < 1 else cv2.INTER_CUBIC
    pixels = np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)
    pixels = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else np.ascontiguousarray(pixels)
    canvas = Canvas(pixels, scale, list(keep_free))

    step = max(1, int(FINEST / max(scale)))  # what lies between the pixels that are taken could not be seen
    segs, scale = segs[step // 2 :: step, step // 2 :: step], (scale[0] * step, scale[1] * step)
    extents = find_extents(segs)
    present = [i for i in range(len(extents.counts)) if extents.counts[i]]
    lines = list(below)
    spots: dict[int, tuple[float, float]] = {}
    for i in present:
        rows, columns = extents.crop(i)
        mask = np.pad(segs[rows, columns] == i + 1, 1).astype(np.uint8)
        corner = columns.start - 1, rows.start - 1
        lines.append((outlines_of(mask, corner, scale), True, label_color(i + 1)))
        spots[i + 1] = deepest_point(mask, corner, scale)
    lines += [
        (brackets(box, canvas.scale), False, label_color(label))
        for box, label in zip(boxes, labels.tolist(), strict=True)
    ]
    thickness = 2 if max(size) > 700 and len(present) < 100 else 1
    draw_lines(canvas, lines, thickness)
    draw_numbers(canvas, spots, boxes, labels)
    return canvas


def outlines_of(mask: U8, corner: tuple[int, int], scale: tuple[float, float]) -> list[NDArray[np.int32]]:
    """Outline a 0-1 mask whose pixel (0, 0) is the image's `corner`.

    Returns closed lines, each (P, 1, 2) x y in 1 / 2**SHIFT of a canvas pixel.
    """
    fine_x, fine_y = (min(max(math.ceil(s), 1), MOST_FINE) for s in scale)
    if fine_x > 1 or fine_y > 1:
        side = mask.shape[1] * fine_x, mask.shape[0] * fine_y
        mask = (np.asarray(cv2.resize(mask * 255, side, interpolation=cv2.INTER_LINEAR)) > 127).astype(np.uint8)
    found, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    fine = np.array([fine_x, fine_y])
    return [to_canvas((np.asarray(points) + 0.5) / fine + corner, scale) for points in found]


def brackets(box: NDArray[np.float64], scale: tuple[float, float]) -> list[NDArray[np.int32]]:
    """Return the four corners of an inclusive box, as open lines."""
    x_min, y_min, x_max, y_max = box + np.array([0, 0, 1, 1])
    arm = min((x_max - x_min) * scale[0], (y_max - y_min) * scale[1]) * 0.25
    arm_x, arm_y = arm / scale[0], arm / scale[1]
    horizontal, vertical = ((x_min, arm_x), (x_max, -arm_x)), ((y_min, arm_y), (y_max, -arm_y))
    corners = [(x, y, dx, dy) for x, dx in horizontal for y, dy in vertical]
    return [to_canvas(np.array([[[x + dx, y]], [[x, y]], [[x, y + dy]]]), scale) for x, y, dx, dy in corners]


def to_canvas(points: NDArray[np.float64], scale: tuple[float, float]) -> NDArray[np.int32]:
    """Points in the image, 0 being its edge, as OpenCV draws them, 0 being the middle of the first pixel."""
    return np.asarray(np.rint((points * np.array(scale) - 0.5) * 2**SHIFT), np.int32)


def draw_lines(canvas: Canvas, lines: list[Line], thickness: int) -> None:
    """Draw polylines (points, whether closed, colour) over one halo; open ones a pixel wide."""
    halo = canvas.pixels.copy()
    for points, closed, _ in lines:
        cv2.polylines(halo, points, closed, (0, 0, 0), (thickness if closed else 1) + 2, cv2.LINE_AA, SHIFT)
    cv2.addWeighted(canvas.pixels, 0.5, halo, 0.5, 0, dst=canvas.pixels)
    for points, closed, color in lines:
        cv2.polylines(canvas.pixels, points, closed, color, thickness if closed else 1, cv2.LINE_AA, SHIFT)


def deepest_point(mask: U8, corner: tuple[int, int], scale: tuple[float, float]) -> tuple[float, float]:
    """Where on the canvas, x y, a 0-1 mask is farthest from its edge."""
    depth = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 3))
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return (float(x) + corner[0] + 0.5) * scale[0], (float(y) + corner[1] + 0.5) * scale[1]


def draw_numbers(
    canvas: Canvas, spots: dict[int, tuple[float, float]], boxes: NDArray[np.float64], labels: NDArray[np.int64]
) -> None:
    """Write every label's number beside its box where there is room, else into its mask; in a crowd, there first."""
    frames = dict(zip(labels.tolist(), boxes, strict=True))
    everybody = sorted(spots.keys() | frames.keys())
    for label in everybody:
        text, color = str(label), pale(label_color(label))
        width, height = text_size(text)
        places = []
        if label in frames:
            left, top, right, bottom = (
                ((frames[label] + np.array([0, 0, 1, 1])) * np.tile(canvas.scale, 2)).round().astype(int).tolist()
            )
            if len(everybody) > CROWD and width * height > (right - left) * (bottom - top):
                continue
            places = [
                (left, top - height),
                (right - width, top - height),
                (left, bottom),
                (right, top),
                (left - width, top),
            ]
        if label in spots:
            x, y = spots[label]
            inside = round(x - width / 2), round(y - height / 2)
            places = [*places, inside] if len(everybody) <= CROWD else [inside, *places]
        for left, top in places:
            if canvas.is_free((left, top, left + width, top + height)):
                draw_text(canvas, text, (left, top), color)
                break


def pale(color: Color) -> Color:
    red, green, blue = (round(value + (255 - value) * PALE) for value in color)
    return red, green, blue


def text_size(text: str, size: float = TEXT_SCALE) -> Size:
    """Pixels of width and height that `draw_text` takes, halo included."""
    (width, height), descent = cv2.getTextSize(text, FONT, size, 1)
    return width + 4, height + descent + 4


def draw_text(
    canvas: Canvas, text: str, corner: tuple[int, int], color: Color = WHITE, size: float = TEXT_SCALE
) -> None:
    """Write `text` with a dark halo, its upper left at `corner`; what reaches beyond the canvas is cut off."""
    width, height = text_size(text, size)
    (_, _), descent = cv2.getTextSize(text, FONT, size, 1)
    left, top = corner
    canvas.taken.append((left, top, left + width, top + height))
    stamp = np.zeros((height, width), np.uint8)
    cv2.putText(stamp, text, (2, height - descent - 2), FONT, size, (255,), 1, cv2.LINE_AA)
    halo = np.asarray(cv2.dilate(stamp, np.ones((3, 3), np.uint8)))
    x, y = max(left, 0), max(top, 0)
    patch = canvas.pixels[y : top + height, x : left + width]
    if not patch.size:
        return
    crop = np.s_[y - top : y - top + patch.shape[0], x - left : x - left + patch.shape[1]]
    cover, ink = halo[crop][..., None] / 255 * 0.75, stamp[crop][..., None] / 255
    patch[:] = np.rint(patch * (1 - cover) * (1 - ink) + np.array(color) * ink).astype(np.uint8)


def draw_scale(canvas: Canvas, mm: float | None) -> None:
    """Draw a scale bar, lower left: mm are those of one image pixel across, None where they are not known."""
    if mm is not None and not SMALLEST_MM < mm < 1 / SMALLEST_MM:
        return
    unit, step = ("px", 1.0) if mm is None else ("mm", mm)
    length = round_length(canvas.size[0] / 4 / canvas.scale[0] * step)
    width = round(length / step * canvas.scale[0])
    left, bottom = 8, canvas.size[1] - 8
    if width < 8 or canvas.size[1] < LEAST_FOR_SCALE:
        return
    cv2.rectangle(canvas.pixels, (left - 1, bottom - 3), (left + width + 1, bottom + 1), (0, 0, 0), -1)
    cv2.rectangle(canvas.pixels, (left, bottom - 2), (left + width, bottom), WHITE, -1)
    draw_text(canvas, f"{length:g} {unit}", (left - 2, bottom - 5 - text_size("0")[1]))


def round_length(length: float) -> float:
    """Return the largest of 1, 2, 5, 10, 20, 50, ... (and 0.5, 0.2, ...) up to `length`."""
    power = 10.0 ** math.floor(math.log10(length))
    return max(step * power for step in STEPS if step * power <= length * (1 + 1e-9))
