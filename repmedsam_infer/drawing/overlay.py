"""A picture of a result: the image, the outline of every mask, corners and number of every box. For looking at, not for
measuring.
"""

from pathlib import Path

import cv2

from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.drawing.anatomy import draw_letters, places_of_letters
from repmedsam_infer.drawing.extras import NOTHING, Extras
from repmedsam_infer.drawing.marks import CROWD, U8, Size, draw_plane
from repmedsam_infer.drawing.truth import truth_lines
from repmedsam_infer.drawing.volume_sheet import draw_volume_sheet
from repmedsam_infer.io.atomic import write_result

SMALLEST_SIDE, LARGEST_SIDE = 768, 2048  # pixels that a picture's longest side is brought to
CROWDED_SIDE = 1600  # the same where there are many objects, whose numbers take room
SHEET_SIDE = 1600  # pixels of a volume's sheet


def write_overlay(path: Path, case: Case, segs: Segmentation, extras: Extras = NOTHING) -> None:
    """Write the PNG.

    Raises:
        CaseWriteError: it could not be written.

    """
    drawing = (
        draw_volume_sheet(case, segs, SHEET_SIDE, extras)
        if case.is_volume
        else draw_picture(case, segs, picture_side(case), extras)
    )
    # Level 1 is three times as quick as the default, for a tenth more bytes.
    _, png = cv2.imencode(".png", drawing[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    write_result(path, png.tobytes(), "the overlay")


def picture_side(case: Case) -> int:
    least = CROWDED_SIDE if len(case.boxes.labels) > CROWD else SMALLEST_SIDE
    return min(max(*case.shape, least), LARGEST_SIDE)


def draw_overlay(case: Case, segs: Segmentation, longest: int, extras: Extras = NOTHING) -> U8:
    """(h, w, 3) RGB whose sides are at most `longest`."""
    if case.is_volume:
        return draw_volume_sheet(case, segs, longest, extras)
    return draw_picture(case, segs, longest, extras)


def draw_picture(case: Case, segs: Segmentation, longest: int, extras: Extras = NOTHING) -> U8:
    """(h, w, 3) RGB; its longer side is `longest`."""
    size = fit(case.shape, longest)
    letters = places_of_letters(size, extras.ends[1], extras.ends[0]) if extras.ends else []
    scale = size[0] / case.shape[1], size[1] / case.shape[0]
    below = [] if extras.truth is None else truth_lines(extras.truth, scale)
    keep_free = [place for _, place in letters]
    canvas = draw_plane(case.imgs, segs, case.boxes.corners, case.boxes.labels, size, keep_free, below)
    draw_letters(canvas, letters)
    return canvas.pixels


def fit(shape: tuple[int, ...], longest: int) -> Size:
    """Width and height of an (H, W) image, its longer side being `longest`."""
    scale = longest / max(shape)
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
