"""Images and boxes into the network's 256 x 256 frame (challenge baseline; paper section 2.1).

`Frame` is the one piece of geometry: it maps images and boxes in, and postprocess.py maps masks out by it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FRAME_SIZE = 256
LAST_EDGE = np.array([0, 0, 1, 1], np.float32)  # from an inclusive last pixel to the edge behind it
ROUNDING = 1e-3  # pixels that float32 may be off by
SMALLEST_RANGE = 1e-8  # what a constant image is divided by


@dataclass(frozen=True)
class Frame:
    """Where an image of (height, width) pixels lies in a size x size frame: top left, longest side filling it."""

    height: int
    width: int
    size: int = FRAME_SIZE

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

    def place_image(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, 3) or (H, W) uint8 -> (3, size, size) float32: resized, min-max normalised to [0, 1], zero-padded.

        The range is that of the resized image over all channels, before padding.
        """
        resized = cv2.resize(image, (self.new_width, self.new_height), interpolation=cv2.INTER_AREA)
        low, high = float(resized.min()), float(resized.max())
        normalised = (resized.astype(np.float32) - low) / max(high - low, SMALLEST_RANGE)
        placed = np.zeros((3, self.size, self.size), np.float32)
        # A grey image broadcasts over the three channels.
        placed[:, : self.new_height, : self.new_width] = np.moveaxis(np.atleast_3d(normalised), -1, 0)
        return placed

    def place_boxes(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 4) inclusive x_min y_min x_max y_max in image pixels -> the same in frame pixels.

        The pixels first..last cover first..last + 1, and it is this extent that is scaled. (The baseline scales the
        indices, which makes the box of an enlarged image too small at its right and bottom by up to a pixel of it.)
        """
        return (np.asarray(boxes, np.float32) + LAST_EDGE) * np.float32(self.scale) - LAST_EDGE

    def pixels(self, box: NDArray[np.float32]) -> tuple[slice, slice]:
        """Rows and columns of the image that a box (4,) in frame pixels touches."""
        low = np.floor(box[:2] / self.scale + ROUNDING).astype(int)
        high = np.ceil((box[2:] + 1) / self.scale - ROUNDING).astype(int)
        (left, top), (right, bottom) = np.maximum(low, 0), np.minimum(high, (self.width, self.height))
        return slice(int(top), int(bottom)), slice(int(left), int(right))
