"""Stretches of a mammogram's skin, as more things to mark.

Thickened skin is a finding, and one that its box hardly describes: a band along the breast's outline that fills a few
hundredths of it. From the few cases where it is marked no network learns that a box may be left nearly empty. But every
mammogram shows skin, and where it lies needs no annotation: beside the black ground.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_train.data.breast import breast_of, grey_of, largest_part

U8 = NDArray[np.uint8]

MOST = 2  # stretches on one image
GROUND = 0.02  # of the image: dark parts smaller than this lie in the breast
BREAST = (0.05, 0.9)  # of the image
CHEST_WALL = 4  # pixels by which a side that is cut off may lean
CUT = 0.5  # of a side of the breast's bounding box: a breast along more of it was cut off there
# Fractions of the image's longer side.
LENGTH = (0.2, 0.9)
THICKNESS = (0.007, 0.026)
SMALLEST = 30  # pixels of a band


def skin_bands(image: U8, rng: np.random.Generator) -> U8:
    """(H, W) or (H, W, 3) mammogram -> (H, W) labels of up to MOST random stretches of skin, tapered to their ends.

    A stretch that comes out too small or crosses one before it is left out; 0 alone where there is no breast on dark
    ground.
    """
    grey = grey_of(image)
    breast = breast_of(grey)
    bands = np.zeros_like(breast)
    if not BREAST[0] < breast.mean() < BREAST[1]:
        return bands
    depth = below_skin(breast)
    outline = np.argwhere((depth > 0) & (depth < 1.6))
    if not len(outline):
        return bands
    longest = max(grey.shape)
    rows, columns = np.ogrid[: grey.shape[0], : grey.shape[1]]
    for label in range(1, MOST + 1):
        y, x = outline[rng.integers(len(outline))]
        radius = longest * np.exp(rng.uniform(*np.log(LENGTH)))
        from_middle = np.hypot(rows - y, columns - x) / radius
        thickness = longest * rng.uniform(*THICKNESS) * np.sqrt(np.clip(1 - from_middle**2, 0, None))
        band = largest_part(np.asarray((breast > 0) & (depth > 0) & (depth <= thickness), np.uint8)) > 0
        if np.count_nonzero(band) >= SMALLEST and not bands[band].any():
            bands[band] = label
    return bands


def below_skin(breast: U8) -> NDArray[np.float32]:
    """Of every pixel of an (H, W) mask its distance to the ground, in pixels; the breast's cut sides do not count."""
    ground = 1 - breast
    for quarter in range(4):  # each side in turn is the left one
        turned = np.ascontiguousarray(np.rot90(breast, quarter))
        x, _, _, height = cv2.boundingRect(turned)
        inside = x + CHEST_WALL - 1
        if np.count_nonzero(turned[:, inside]) > CUT * height:
            view = np.rot90(ground, quarter)
            view[:, :inside] = view[:, inside, None]  # what lies inside goes on
    count, parts, stats, _ = cv2.connectedComponentsWithStats(ground)
    for part in range(1, count):
        if stats[part, cv2.CC_STAT_AREA] < GROUND * ground.size:
            ground[parts == part] = 0
    return np.asarray(cv2.distanceTransform(1 - ground, cv2.DIST_L2, 5), np.float32)
