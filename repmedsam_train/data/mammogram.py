"""More to mark on a mammogram than what is marked: stretches of its skin and regions of its dense tissue, side by side.

Thickened skin is a finding that its box hardly describes: a band along the breast's outline that fills a few
hundredths of it. Dense tissue is ragged, streaked, and fills less of its box than most objects do. Few cases mark
either, but every mammogram shows skin beside the black ground, and a level of brightness draws dense tissue as an
annotator would. Both on one image teach what no box says alone: which of them it is around.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

DARK = 0.06  # of the brightest: darker than this is the ground
# Stretches of skin:
MOST_BANDS = 2  # stretches on one image
GROUND = 0.02  # of the image: dark parts smaller than this lie in the breast
BREAST = (0.05, 0.9)  # of the image
CHEST_WALL = 4  # pixels by which a side that is cut off may lean
CUT = 0.5  # of a side of the breast's bounding box: a breast along more of it was cut off there
# Fractions of the image's longer side.
LENGTH = (0.2, 0.9)
THICKNESS = (0.007, 0.026)
SMALLEST_BAND = 30  # pixels of a band
# Regions of dense tissue:
MOST_REGIONS = 6  # regions of one image
SMALLEST_REGION = 20  # pixels of a region
LARGEST_REGION = 0.2  # of the image
SLIMMEST_REGION = 3  # pixels of a side of its box
# Fractions of the image's longer side.
REACH = (0.015, 0.12)  # how far around a random place its brightest point is looked for


def findings(image: U8, rng: np.random.Generator, skin: float, dense: float) -> U8:
    """(H, W) or (H, W, 3) mammogram -> (H, W) labels of what was found to mark, 0 where nothing is.

    `skin` and `dense` are the probabilities of either being looked for. A region of dense tissue that skin would cover
    is left out whole.
    """
    bands = skin_bands(image, rng) if rng.random() < skin else np.zeros(image.shape[:2], np.uint8)
    if rng.random() >= dense:
        return bands
    regions = dense_regions(image, rng)
    regions[np.isin(regions, regions[bands > 0])] = 0
    return np.asarray(np.where(regions > 0, regions + MOST_BANDS, bands), np.uint8)


def skin_bands(image: U8, rng: np.random.Generator) -> U8:
    """(H, W) or (H, W, 3) mammogram -> (H, W) labels of up to MOST_BANDS stretches of skin, tapered to their ends.

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
    for label in range(1, MOST_BANDS + 1):
        y, x = outline[rng.integers(len(outline))]
        radius = longest * np.exp(rng.uniform(*np.log(LENGTH)))
        from_middle = np.hypot(rows - y, columns - x) / radius
        thickness = longest * rng.uniform(*THICKNESS) * np.sqrt(np.clip(1 - from_middle**2, 0, None))
        band = largest_part(np.asarray((breast > 0) & (depth > 0) & (depth <= thickness), np.uint8)) > 0
        if np.count_nonzero(band) >= SMALLEST_BAND and not bands[band].any():
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


def dense_regions(image: U8, rng: np.random.Generator) -> U8:
    """(H, W) or (H, W, 3) mammogram -> (H, W) labels from 1 on, each a connected bright region; 0 alone where none is.

    A region is what around a bright point is at least as bright as a level between that point and its surroundings.
    """
    grey = grey_of(image)
    breast = breast_of(grey)
    regions = np.zeros(grey.shape, np.uint8)
    places = np.argwhere(breast)
    if not len(places):
        return regions
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), rng.uniform(0.5, 1.2))
    found = 0
    for y, x in places[rng.integers(len(places), size=2 * MOST_REGIONS)]:
        reach = max(2, round(max(grey.shape) * np.exp(rng.uniform(*np.log(REACH)))))
        rows, columns = around(y, reach), around(x, reach)
        near = np.where(breast[rows, columns] > 0, smooth[rows, columns], 0)
        peak_y, peak_x = np.unravel_index(int(near.argmax()), near.shape)
        peak = (rows.start + int(peak_y), columns.start + int(peak_x))
        rows, columns = around(peak[0], 3 * reach), around(peak[1], 3 * reach)
        surroundings = smooth[rows, columns][breast[rows, columns] > 0]
        level = rng.uniform(min(np.median(surroundings), smooth[peak]), smooth[peak])
        _, parts, stats, _ = cv2.connectedComponentsWithStats(
            np.asarray((smooth >= level) & (breast > 0), np.uint8), connectivity=4
        )
        part = int(parts[peak])
        _, _, width, height, area = stats[part]
        region = parts == part
        if (
            part
            and SMALLEST_REGION <= area <= LARGEST_REGION * grey.size
            and min(width, height) >= SLIMMEST_REGION
            and not regions[region].any()
        ):
            found += 1
            regions[region] = found
        if found == MOST_REGIONS:
            break
    return regions


def around(centre: int, reach: int) -> slice:
    """Return the places up to `reach` from `centre`, from 0 on."""
    return slice(max(0, centre - reach), centre + reach + 1)


def grey_of(image: U8) -> U8:
    """(H, W) or (H, W, 3) -> (H, W)."""
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def breast_of(grey: U8) -> U8:
    """(H, W) mammogram -> (H, W) of 1 on the largest part that is brighter than the ground."""
    bright = cv2.GaussianBlur(grey, (0, 0), 1.0) > max(8, DARK * int(grey.max()))
    return largest_part(np.asarray(bright, np.uint8))


def largest_part(mask: U8) -> U8:
    """Return the largest of a mask's connected parts; the mask itself where it is empty."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return mask
    return np.asarray(parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), np.uint8)
