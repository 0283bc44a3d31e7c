"""A picture of a result: the image, the outline of every mask, every box. For looking at, not for measuring."""

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.atomic import write_atomic
from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.errors import CaseWriteError

U8 = NDArray[np.uint8]
SMALLEST_SIDE, LARGEST_SIDE = 384, 1600  # pixels that a picture's longest side is brought to
SHEET_SLICES = 9  # slices of a volume that are shown
GOLDEN_ANGLE = 137.508  # degrees of hue between one label and the next


def write_overlay(path: Path, case: Case, segs: Segmentation) -> None:
    """Write the PNG.

    Raises:
        CaseWriteError: it could not be written.

    """
    drawing = draw_volume(case, segs) if case.is_volume else draw_picture(case, segs)
    _, png = cv2.imencode(".png", drawing[..., ::-1])
    try:
        write_atomic(path, png.tobytes())
    except OSError as error:
        raise CaseWriteError(
            f"{path.name}: the overlay could not be written to {path.parent} ({error.strerror})"
        ) from error


def draw_picture(case: Case, segs: Segmentation) -> U8:
    return draw_slice(case.imgs, segs, case.boxes.corners, case.boxes.labels, LARGEST_SIDE)


def draw_volume(case: Case, segs: Segmentation) -> U8:
    """A sheet of slices spread evenly over those that boxes span."""
    corners = case.boxes.corners
    first, last = (int(corners[:, 2].min()), int(corners[:, 5].max())) if len(corners) else (0, case.shape[0] - 1)
    shown = np.unique(np.linspace(first, last, SHEET_SLICES).round().astype(int))
    tiles = []
    for z in shown:
        here = (corners[:, 2] <= z) & (z <= corners[:, 5])
        tile = draw_slice(case.imgs[z], segs[z], corners[here][:, [0, 1, 3, 4]], case.boxes.labels[here], SMALLEST_SIDE)
        cv2.putText(tile, f"slice {z}", (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        tiles.append(tile)
    columns = math.ceil(math.sqrt(len(tiles)))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(rows)


def draw_slice(
    image: U8, segs: Segmentation, boxes: NDArray[np.float64], labels: NDArray[np.int64], largest: int
) -> U8:
    """(H, W[, 3]) image, (H, W) labels, (K, 4) boxes -> (h, w, 3) RGB."""
    longest = max(segs.shape)
    scale = min(max(longest, SMALLEST_SIDE), largest) / longest
    size = (max(1, round(segs.shape[1] * scale)), max(1, round(segs.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)
    canvas = np.repeat(canvas[..., None], 3, -1) if canvas.ndim == 2 else np.ascontiguousarray(canvas)
    for box, label in zip(boxes, labels, strict=True):
        color = label_color(int(label))
        mask = cv2.resize((segs == label).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, color, 2 if longest * scale > 300 else 1, cv2.LINE_AA)
        x_min, y_min, x_max, y_max = ((box + np.array([0, 0, 1, 1])) * scale).round().astype(int).tolist()
        cv2.rectangle(canvas, (x_min, y_min), (x_max, y_max), color, 1)
    return canvas


def label_color(label: int) -> tuple[int, int, int]:
    """A bright RGB colour, far from its neighbours'."""
    hue = label * GOLDEN_ANGLE % 360 / 60
    ramp = [min(max(abs((hue + shift) % 6 - 3) - 1, 0), 1) for shift in (0, 4, 2)]
    red, green, blue = (round(80 + 175 * value) for value in ramp)
    return red, green, blue
