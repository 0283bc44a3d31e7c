"""A volume on one sheet: slices where its objects are, and reformats across the slices, each with its scale.

Planes are named by the index at which they cut the volume, as boxes are: z for slices as they were acquired, y and x
for reformats. Where slices were acquired axially, y is coronal and x is sagittal. Reformats are as high as the volume
is deep (which takes `spacing`; without it voxels are taken for cubes), slice 0 lowest, as in most files the head comes
last. All planes are cropped to where the objects are, and what is around them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.drawing.anatomy import draw_letters, places_of_letters
from repmedsam_infer.drawing.extras import NOTHING, Extras
from repmedsam_infer.drawing.marks import U8, Canvas, Place, Size, draw_plane, draw_scale, draw_text, text_size
from repmedsam_infer.drawing.truth import truth_lines

SLICES, REFORMATS = 8, 2  # on a whole sheet, reformats along each of y and x
COLUMNS = 4
GAP = 6  # pixels between tiles
BACKGROUND = 18  # grey level
SMALL_SHEET = 700  # pixels: a sheet up to this shows one plane of each kind
THINNEST = 24  # pixels: a reformat that would be lower shows nothing
AROUND = 0.35  # of the objects' extent, that is shown on either side of them
LEAST_AROUND = 0.08  # of the volume's side
FEW = 0.05  # of the most that any plane shows: planes with less are not chosen to fill the sheet
MOST_LABELS = 256  # that are kept apart where planes are chosen
MOST_UNEVEN = 1000  # times: how much longer than another one a side of a voxel is drawn
AXES = "zyx"


@dataclass(frozen=True)
class Plane:
    """A cut through the volume at `index` of `axis` (0 z, 1 y, 2 x), and how much of each axis is shown."""

    axis: int
    index: int
    region: tuple[slice, slice, slice]


def draw_volume_sheet(case: Case, segs: Segmentation, longest: int, extras: Extras = NOTHING) -> U8:
    """(h, w, 3) RGB, at most `longest` wide: a grid of planes; where that is little, one slice and two reformats."""
    return (
        draw_three(case, segs, (longest, longest * 3 // 4), extras)
        if longest <= SMALL_SHEET
        else draw_grid(case, segs, longest, extras)
    )


def draw_grid(case: Case, segs: Segmentation, longest: int, extras: Extras) -> U8:
    """Slices in rows, then the reformats in a row, all tiles of one width."""
    profiles = find_profiles(case, segs)
    side = (longest - (COLUMNS - 1) * GAP) // COLUMNS
    region = find_region(case, profiles)
    slices = [Plane(0, i, region) for i in choose_planes(profiles[0], SLICES)]
    across = [Plane(axis, i, region) for axis in (1, 2) for i in choose_planes(profiles[axis], REFORMATS)]
    rows = [slices[i : i + COLUMNS] for i in range(0, len(slices), COLUMNS)] + [across]
    tiles = [[draw_tile(case, segs, plane, (side, side), extras) for plane in row] for row in rows]
    bands = [band([tile for tile in row if tile is not None], side) for row in tiles if any(row)]
    return np.vstack([part for strip in bands for part in (strip, gap(strip))][:-1])


def draw_three(case: Case, segs: Segmentation, size: Size, extras: Extras = NOTHING) -> U8:
    """Return a slice, and right of it a reformat along y over one along x, in exactly `size`."""
    profiles = find_profiles(case, segs)
    region = find_region(case, profiles)
    planes = [Plane(axis, choose_planes(profile, 1)[0], region) for axis, profile in enumerate(profiles)]
    sheet = np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    split, middle = (size[0] - GAP) * 3 // 5, (size[1] - GAP) // 2
    right, lower = split + GAP, middle + GAP
    cells = (
        (0, 0, split, size[1]),
        (right, 0, size[0] - right, middle),
        (right, lower, size[0] - right, size[1] - lower),
    )
    for plane, (x, y, width, height) in zip(planes, cells, strict=True):
        tile = draw_tile(case, segs, plane, (width, height), extras)
        if tile is not None:
            w, h = tile.size
            top, start = y + (height - h) // 2, x + (width - w) // 2
            sheet[top : top + h, start : start + w] = tile.pixels
    return sheet


def draw_tile(case: Case, segs: Segmentation, plane: Plane, room: Size, extras: Extras = NOTHING) -> Canvas | None:
    """Return the plane as large as fits into `room`, its aspect being the body's; None where it is too thin to see."""
    down, across = (axis for axis in range(3) if axis != plane.axis)
    mm = proportions(case)
    plane = widened(plane, case.shape, mm, room)
    image, labels, boxes, here = cut(case, segs, plane)
    width, height = labels.shape[1] * mm[across], labels.shape[0] * mm[down]
    scale = min(room[0] / width, room[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if plane.axis and min(size) < THINNEST:
        return None
    name = f"{AXES[plane.axis]} {plane.index}"
    width_of_name, line = text_size(name)
    captions = (4, 4, 4 + width_of_name, 4 + line), (4, size[1] - 2 * line, 4 + 2 * width_of_name, size[1])
    letters = letters_of(plane, size, extras)
    below = []
    if extras.truth is not None:
        below = truth_lines(turned(extras.truth, plane), (size[0] / labels.shape[1], size[1] / labels.shape[0]))
    canvas = draw_plane(image, labels, boxes, here, size, [*captions, *(place for _, place in letters)], below)
    draw_text(canvas, name, (4, 4))
    draw_letters(canvas, letters)
    draw_scale(canvas, None if case.spacing is None else float(case.spacing[across]))
    return canvas


def letters_of(plane: Plane, size: Size, extras: Extras) -> list[tuple[str, Place]]:
    """Letters at the edges of a plane that is drawn in this size, and where."""
    if extras.ends is None:
        return []
    down, across = (extras.ends[axis] for axis in range(3) if axis != plane.axis)
    return places_of_letters(size, across, down[::-1] if plane.axis else down)


def proportions(case: Case) -> NDArray[np.float64]:
    """(3,) how long a voxel is along z, y and x, against the middle one of these; at most MOST_UNEVEN times.

    Files may state any spacing, such that no picture could show.
    """
    if case.spacing is None:
        return np.ones(3)
    middle = float(np.median(case.spacing))
    return np.array([min(max(side / middle, 1 / MOST_UNEVEN), MOST_UNEVEN) for side in case.spacing.tolist()])


def widened(plane: Plane, shape: tuple[int, ...], mm: NDArray[np.float64], room: Size) -> Plane:
    """Return the plane with more shown along one of its sides, to fill the room, as far as the volume goes."""
    down, across = (axis for axis in range(3) if axis != plane.axis)
    shown = [(side.stop - side.start) * size for side, size in zip(plane.region, mm.tolist(), strict=True)]
    axis, length = across, shown[down] * room[0] / room[1]
    if length < shown[across]:
        axis, length = down, shown[across] * room[1] / room[0]
    region = list(plane.region)
    extent = min(max(round(length / mm[axis]), region[axis].stop - region[axis].start), shape[axis])
    start = (region[axis].start + region[axis].stop - extent) // 2
    start = min(max(start, 0), shape[axis] - extent)
    region[axis] = slice(start, start + extent)
    depth, rows, columns = region
    return Plane(plane.axis, plane.index, (depth, rows, columns))


def cut(
    case: Case, segs: Segmentation, plane: Plane
) -> tuple[U8, Segmentation, NDArray[np.float64], NDArray[np.int64]]:
    """Image, labels, and the (K, 4) boxes of the (K,) labels in a plane; reformats upside down."""
    image, labels = turned(case.imgs, plane), turned(segs, plane)
    corners = case.boxes.corners
    normal = 2 - plane.axis  # boxes are x first
    crossed = (corners[:, normal] <= plane.index) & (plane.index <= corners[:, normal + 3])
    across, down = (axis for axis in range(3) if axis != normal)
    origin = np.tile([plane.region[2 - across].start, plane.region[2 - down].start], 2)
    boxes = corners[crossed][:, [across, down, across + 3, down + 3]] - origin
    if plane.axis:
        boxes[:, [1, 3]] = labels.shape[0] - 1 - boxes[:, [3, 1]]
    return image, labels, boxes, case.boxes.labels[crossed]


def turned(voxels: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """(H, W[, 3]) of what has the volume's shape, in a plane; reformats upside down."""
    at: tuple[slice | int, ...] = (*plane.region[: plane.axis], plane.index, *plane.region[plane.axis + 1 :])
    return np.ascontiguousarray(voxels[at][::-1] if plane.axis else voxels[at])


def find_profiles(case: Case, segs: Segmentation) -> list[NDArray[np.int64]]:
    """Along z, y and x: (L, side) voxels of each of L labels in each plane; of boxes where nothing is marked."""
    depth, height, width = case.shape
    count = min(int(segs.max(initial=0)), MOST_LABELS)
    if not count:
        return box_profiles(case)
    along = [np.zeros((count + 1, side), np.int64) for side in case.shape]
    for z in range(depth):
        flat = segs[z].ravel()
        where = np.flatnonzero(flat)
        labels = np.minimum(flat[where].astype(np.int64), count)
        along[0][:, z] = np.bincount(labels, minlength=count + 1)
        along[1] += histogram(labels, where // width, count, height)
        along[2] += histogram(labels, where % width, count, width)
    return [profile[1:] for profile in along]


def histogram(labels: NDArray[np.int64], positions: NDArray[np.intp], count: int, side: int) -> NDArray[np.int64]:
    """(count + 1, side): how often each label is at each position."""
    flat = np.bincount(labels * side + positions, minlength=(count + 1) * side)
    return flat.reshape(count + 1, side)


def box_profiles(case: Case) -> list[NDArray[np.int64]]:
    """As if each box were full of a rhombus: its middle counts most. One row of ones where there are no boxes."""
    profiles = []
    for axis, side in enumerate(case.shape):
        low, high = case.boxes.corners[:, 2 - axis], case.boxes.corners[:, 5 - axis]
        planes = np.arange(side)
        rows = np.minimum(planes - low[:, None] + 1, high[:, None] - planes + 1).clip(0) * 100
        profiles.append(rows.astype(np.int64) if len(rows) else np.ones((1, side), np.int64))
    return profiles


def find_region(case: Case, profiles: list[NDArray[np.int64]]) -> tuple[slice, slice, slice]:
    """Return what holds all labels and boxes, and some of what is around them."""
    ranges = []
    for axis, (profile, side) in enumerate(zip(profiles, case.shape, strict=True)):
        where = np.flatnonzero(profile.any(axis=0)).tolist()
        ends = [*where, *case.boxes.corners[:, [2 - axis, 5 - axis]].ravel().tolist()]
        low, high = int(min(ends)), int(max(ends))
        around = round(max(AROUND * (high - low + 1), LEAST_AROUND * side))
        ranges.append(slice(max(low - around, 0), min(high + around + 1, side)))
    depth, rows, columns = ranges
    return depth, rows, columns


def choose_planes(profile: NDArray[np.int64], count: int) -> list[int]:
    """Up to `count` planes, in order, of (L, side) voxels of each label in each plane.

    First those that together show every object near its largest section, then, far from those, others with objects.
    """
    share = profile / np.maximum(profile.max(axis=1, keepdims=True), 1)
    shown = np.zeros(len(share))
    chosen: list[int] = []
    while len(chosen) < count:
        gains = np.maximum(share, shown[:, None]).sum(axis=0) - shown.sum()
        best = middle_of_best(gains)
        if gains[best] < 0.3:
            break
        chosen.append(best)
        shown = np.maximum(shown, share[:, best])
    total = profile.sum(axis=0)
    worth = np.flatnonzero(total > FEW * total.max())
    while len(chosen) < min(count, len(worth)):
        distance = np.abs(worth[:, None] - np.array(chosen)[None]).min(axis=1)
        if not distance.max():
            break
        chosen.append(int(worth[distance.argmax()]))
    return sorted(chosen)


def middle_of_best(gains: NDArray[np.float64]) -> int:
    """Return the middle one of the planes that gain most."""
    best = np.flatnonzero(gains >= gains.max() - 1e-9)
    return int(best[len(best) // 2])


def band(tiles: list[Canvas], side: int) -> U8:
    """Tiles side by side, each in the middle of its cell; as high as the highest."""
    height = max(tile.size[1] for tile in tiles)
    strip = np.full((height, COLUMNS * (side + GAP) - GAP, 3), BACKGROUND, np.uint8)
    for i, tile in enumerate(tiles):
        width, high = tile.size
        left, top = i * (side + GAP) + (side - width) // 2, (height - high) // 2
        strip[top : top + high, left : left + width] = tile.pixels
    return strip


def gap(strip: U8) -> U8:
    return np.full((GAP, *strip.shape[1:]), BACKGROUND, np.uint8)
