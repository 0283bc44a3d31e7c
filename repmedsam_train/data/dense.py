"""Dense tissue of a mammogram, as more things to mark: what is brighter than its surroundings.

Dense tissue is ragged, streaked, and fills less of its box than most objects do. Few cases mark it, but every mammogram
shows some, and a level of brightness draws it as an annotator would.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_train.data.breast import breast_of, grey_of

U8 = NDArray[np.uint8]

MOST = 6  # regions of one image
SMALLEST = 20  # pixels of a region
LARGEST = 0.2  # of the image
SLIMMEST = 3  # pixels of a side of its box
# Fractions of the image's longer side.
REACH = (0.015, 0.12)  # how far around a random place its brightest point is looked for


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
    for y, x in places[rng.integers(len(places), size=2 * MOST)]:
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
            and SMALLEST <= area <= LARGEST * grey.size
            and min(width, height) >= SLIMMEST
            and not regions[region].any()
        ):
            found += 1
            regions[region] = found
        if found == MOST:
            break
    return regions


def around(centre: int, reach: int) -> slice:
    """The places up to `reach` from `centre`, from 0 on."""
    return slice(max(0, centre - reach), centre + reach + 1)
