"""Cases to take times on: drawn, with the shapes and object counts of the paper's table 5 and of two more sizes.

What is drawn matters little for speed but for its noise, which keeps files about as large as those of real images.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.io.npz import write_npz

U8 = NDArray[np.uint8]
NOISE = 6  # grey levels


class TimingCase(NamedTuple):
    """shape (H, W) or (D, H, W), how many objects, and in volumes the number of slices that they span."""

    shape: tuple[int, ...]
    objects: int
    span: int = 1


TIMING_CASES = {
    "2DBox_US_256": TimingCase((256, 256), 1),  # table 5
    "2DBox_Mammography_2604": TimingCase((2604, 1726), 4),
    "2DBox_Microscopy_2560": TimingCase((1920, 2560), 241),  # table 5
    "3DBox_CT_24": TimingCase((24, 512, 512), 3, 24),
    "3DBox_MR_84": TimingCase((84, 512, 512), 1, 60),  # table 5
    "3DBox_CT_287": TimingCase((287, 512, 512), 6, 250),  # table 5
}


def write_timing_cases(folder: Path, names: list[str] | None = None) -> list[Path]:
    """Write these (by default all) as challenge npz into `folder`.

    Raises:
        OSError: the folder cannot be made or written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in names or list(TIMING_CASES):
        imgs, boxes = draw(TIMING_CASES[name])
        paths.append(folder / f"{name}.npz")
        write_npz(paths[-1], imgs=imgs, boxes=boxes)
    return paths


def draw(case: TimingCase) -> tuple[U8, NDArray[np.int64]]:
    """Image and boxes: ellipses, in volumes ellipsoids, side by side in a grid."""
    rng = np.random.default_rng(0)
    height, width = case.shape[-2:]
    depth = case.shape[0] if len(case.shape) == 3 else 1
    rows = max(1, round(math.sqrt(case.objects * height / width)))
    columns = math.ceil(case.objects / rows)
    first = (depth - case.span) // 2
    boxes = []
    for i in range(case.objects):
        middle_y, middle_x = (i // columns + 0.5) * height / rows, (i % columns + 0.5) * width / columns
        half_y, half_x = 0.3 * height / rows, 0.35 * width / columns
        low, high = (middle_x - half_x, middle_y - half_y), (middle_x + half_x, middle_y + half_y)
        boxes.append([*low, first, *high, first + case.span - 1])
    corners = np.array(boxes).astype(np.int64)

    imgs = np.empty((depth, height, width), np.uint8)
    for z in range(depth):
        canvas = 70 + NOISE * rng.standard_normal((height, width), np.float32)
        for x0, y0, z0, x1, y1, z1 in corners.tolist():
            squeeze = 1 - ((z - (z0 + z1) / 2) / ((z1 - z0 + 1) / 2)) ** 2
            if squeeze > 0:
                y, x = np.ogrid[y0 : y1 + 1, x0 : x1 + 1]
                radius = ((2 * y - y0 - y1) / (y1 - y0 + 1)) ** 2 + ((2 * x - x0 - x1) / (x1 - x0 + 1)) ** 2
                canvas[y0 : y1 + 1, x0 : x1 + 1] += np.where(radius < squeeze, 90, 0)
        imgs[z] = np.clip(canvas, 0, 255)
    if len(case.shape) == 3:
        return imgs, corners
    return np.repeat(imgs[0][..., None], 3, -1), corners[:, [0, 1, 3, 4]]
