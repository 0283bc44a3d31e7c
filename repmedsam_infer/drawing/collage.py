"""One picture of a run, for the README and for talks: `python -m repmedsam_infer.drawing.collage CASES SEGS OUT.png`.

Every case is a tile of one size, cropped to it where no box is lost by that; a volume is a slice and two reformats.
"""

import math
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case, Segmentation, read_case
from repmedsam_infer.drawing.label_colours import Color
from repmedsam_infer.drawing.marks import Canvas, Size, draw_plane, draw_text, text_size
from repmedsam_infer.drawing.volume_sheet import draw_three
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.io.case_files import find_cases, modality_of
from repmedsam_infer.io.npz import open_npz

COLUMNS = 4
TILE: Size = (400, 300)
MARGIN, GAP, CAPTION, FOOT = 24, 16, 34, 44  # pixels: around all, between tiles, below a tile, below all
BACKGROUND: Color = (18, 22, 27)
BLACK: Color = (0, 0, 0)
TITLE_COLOR: Color = (236, 240, 243)
SOFT_COLOR: Color = (150, 162, 173)
NAMES = {"US": "Ultrasound", "XRay": "X-ray", "OCT": "Optical coherence tomography"}
LEGEND = "Corners: the boxes that were given.   Outlines: the masks that RepMedSAM returned."


def collage(cases: Path, segs: Path) -> bytes:
    """All cases of a folder that have a segmentation, in order of name; PNG."""
    tiles = []
    for path in find_cases(cases):
        if (segs / path.name).exists():
            case = read_case(path)
            with open_npz(segs / path.name) as npz:
                tiles.append(tile(case, npz.read("segs")))
    if not tiles:
        raise SystemExit(f"no segmentations of {cases} in {segs}")
    columns, rows = min(COLUMNS, len(tiles)), math.ceil(len(tiles) / COLUMNS)
    width = 2 * MARGIN + columns * (TILE[0] + GAP) - GAP
    height = 2 * MARGIN + rows * (TILE[1] + CAPTION + GAP) - GAP + FOOT
    sheet = np.full((height, width, 3), BACKGROUND, np.uint8)
    for i, drawn in enumerate(tiles):
        left = MARGIN + i % columns * (TILE[0] + GAP)
        top = MARGIN + i // columns * (TILE[1] + CAPTION + GAP)
        sheet[top : top + drawn.shape[0], left : left + TILE[0]] = drawn
    canvas = Canvas(sheet, (1, 1))
    legend = text_size(LEGEND, 0.55)[0]
    draw_text(canvas, LEGEND, ((width - legend) // 2, height - MARGIN - 18), SOFT_COLOR, 0.55)
    return cv2.imencode(".png", sheet[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def tile(case: Case, segs: Segmentation) -> NDArray[np.uint8]:
    """(TILE + CAPTION) RGB: the drawing, below it what it is of."""
    drawing = draw_three(case, segs, TILE) if case.is_volume else draw_cropped(case, segs)
    sheet = np.full((TILE[1] + CAPTION, TILE[0], 3), BACKGROUND, np.uint8)
    sheet[: TILE[1]] = round_corners(drawing)
    modality = modality_of(case.name)
    name, count = NAMES.get(modality, modality), len(case.boxes.labels)
    canvas = Canvas(sheet, (1, 1))
    draw_text(canvas, name, (0, TILE[1] + 8), TITLE_COLOR, 0.65)
    kind = "volume, " if case.is_volume else ""
    detail = f"{kind}{count} object{'' if count == 1 else 's'}"
    draw_text(canvas, detail, (TILE[0] - text_size(detail, 0.5)[0], TILE[1] + 11), SOFT_COLOR, 0.5)
    return sheet


def draw_cropped(case: Case, segs: Segmentation) -> NDArray[np.uint8]:
    """As much of a picture as has the tile's aspect, around the boxes; all of it where that cuts a box."""
    height, width = case.shape
    ratio = TILE[0] / TILE[1]
    crop = min(width, round(height * ratio)), min(height, round(width / ratio))
    corners = case.boxes.corners
    low, high = (corners[:, :2].min(0), corners[:, 2:].max(0) + 1) if len(corners) else (np.zeros(2), np.array(crop))
    if (high - low > crop).any():
        return fitted(case, segs)
    x, y = np.clip((low + high - crop) // 2, 0, [width - crop[0], height - crop[1]]).astype(int).tolist()
    part = np.s_[y : y + crop[1], x : x + crop[0]]
    boxes = corners - np.array([x, y, x, y])
    return draw_plane(case.imgs[part], segs[part], boxes, case.boxes.labels, TILE).pixels


def fitted(case: Case, segs: Segmentation) -> NDArray[np.uint8]:
    """All of a picture in the middle of a black tile."""
    height, width = case.shape
    scale = min(TILE[0] / width, TILE[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    drawn = draw_plane(case.imgs, segs, case.boxes.corners, case.boxes.labels, size).pixels
    sheet = np.full((TILE[1], TILE[0], 3), BLACK, np.uint8)
    left, top = (TILE[0] - size[0]) // 2, (TILE[1] - size[1]) // 2
    sheet[top : top + size[1], left : left + size[0]] = drawn
    return sheet


def round_corners(drawing: NDArray[np.uint8], radius: int = 8) -> NDArray[np.uint8]:
    """Return the drawing with its corners fading into the background."""
    height, width = drawing.shape[:2]
    fine = np.zeros((height * 4, width * 4), np.uint8)
    r, right, bottom = radius * 4, width * 4 - 1, height * 4 - 1
    cv2.rectangle(fine, (r, 0), (right - r, bottom), (255,), -1)
    cv2.rectangle(fine, (0, r), (right, bottom - r), (255,), -1)
    for x in (r, right - r):
        for y in (r, bottom - r):
            cv2.circle(fine, (x, y), r, (255,), -1)
    cover = np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA))[..., None] / 255
    return np.rint(drawing * cover + np.array(BACKGROUND) * (1 - cover)).astype(np.uint8)


if __name__ == "__main__":
    write_atomic(Path(sys.argv[3]), collage(Path(sys.argv[1]), Path(sys.argv[2])))
