"""Cases drawn for tests: pictures and volumes of any shape with objects beside, in and over each other."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def arrays(
    seed: int, shape: tuple[int, int, int], objects: int, *, colour: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """imgs (D, H, W[, 3]) and gts (D, H, W): smooth noise, and ellipses of which later ones cover earlier ones."""
    rng = np.random.default_rng(seed)
    depth, height, width = shape
    channels = (3,) if colour else ()
    noise = rng.normal(128, 80, (depth, height, width, *channels)).astype(np.float32)
    imgs = np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in noise])
    imgs = np.clip((imgs - imgs.min()) * (255 / max(1, np.ptp(imgs))), 0, 255).astype(np.uint8)
    gts = np.zeros(shape, np.uint8)
    for label in range(1, objects + 1):
        first = int(rng.integers(depth))
        last = min(depth - 1, first + int(rng.integers(0, 5)))
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (1 + int(rng.integers(width)) // 5, 1 + int(rng.integers(height)) // 5)
        for z in range(first, last + 1):
            cv2.ellipse(gts[z], centre, axes, float(rng.uniform(0, 180)), 0, 360, label, -1)
    return imgs, gts


def write_case(path: Path, imgs: NDArray[np.uint8], gts: NDArray[np.uint8]) -> Path:
    """Write a case as npz, without its first axis where its name is a picture's."""
    if path.name.startswith("2D"):
        imgs, gts = imgs[0], gts[0]
    np.savez_compressed(path, imgs=imgs, gts=gts)
    return path
