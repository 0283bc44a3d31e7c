"""The colour of each label, one for all: outlines, palettes of pictures, segments of 3D Slicer, ITK-SNAP and DICOM."""

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]

GOLDEN_ANGLE = 137.508  # degrees of hue between one label and the next
LEAST_LUMA = 150  # of a label's colour: blue has to show on black
LUMA = np.array([0.299, 0.587, 0.114])


def label_colours(count: int) -> NDArray[np.uint8]:
    """(count + 1, 3) RGB of the labels 0 to `count`: 0 is black, others are bright and far from their neighbours'."""
    return np.concatenate([np.zeros((1, 3), np.uint8), _bright(np.arange(1, count + 1))])


def label_color(label: int) -> Color:
    """Return the RGB colour of a label from 1 on."""
    red, green, blue = _bright(np.array([label]))[0].tolist()
    return red, green, blue


def _bright(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """(N,) labels to (N, 3) colours."""
    hues = labels[:, None] * GOLDEN_ANGLE % 360 / 60
    ramps = np.clip(np.abs((hues + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1) * 200 + 55
    luma = (ramps * LUMA).sum(1, keepdims=True)
    white = np.maximum((LEAST_LUMA - luma) / (255 - luma), 0)
    return np.rint(ramps + (255 - ramps) * white).astype(np.uint8)
