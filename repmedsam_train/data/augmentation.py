"""How training samples are varied: crops, flips, turns, intensities, and boxes as people draw them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

LOOSE = 3  # frame pixels by which a loose box is wider, on each side


@dataclass(frozen=True)
class Augmentation:
    """How samples are varied; probabilities in [0, 1], lengths in pixels of the 256-pixel frame."""

    box_jitter: float = 5.0  # paper section 3.2: up to 5 pixels a side
    box_jitter_relative: float = 0.1  # but no more than this fraction of the box's side (at least 1 pixel)
    tight_box: float = 0.6  # boxes left as they are
    loose_box: float = 0.08  # boxes wider than their objects
    volume_box: float = 0.7  # slices of a volume prompted as in inference, by a section of the ellipsoid in the 3D box
    flip: float = 0.5  # along each axis
    crop: float = 0.6
    smallest_crop: float = 0.4  # fraction of each side
    rotation: float = 0.25  # by up to 25 degrees
    transpose: float = 0.25
    intensity: float = 0.6
    inversion: float = 0.08
    grey: float = 0.1
    blur: float = 0.08
    noise: float = 0.08
    # Of a mammogram, instead of what is marked on it, one or both of:
    skin: float = 0.5  # stretches of its skin
    dense: float = 0.4  # regions of dense tissue


NO_AUGMENTATION = Augmentation(
    tight_box=1, loose_box=0, volume_box=1, flip=0, crop=0, rotation=0, transpose=0,
    intensity=0, inversion=0, grey=0, blur=0, noise=0, skin=0, dense=0,
)  # fmt: skip


def random_crop(mask: NDArray[np.bool_], rng: np.random.Generator, smallest: float) -> tuple[slice, slice]:
    """Rows and columns of a random crop that holds at least one pixel of the mask."""
    ys, xs = np.nonzero(mask)
    pick = int(rng.integers(len(ys)))
    common = rng.uniform(smallest, 1)
    crop = []
    for length, position in zip(mask.shape, (int(ys[pick]), int(xs[pick])), strict=True):
        side = min(length, max(16, int(length * min(1.0, common * rng.uniform(0.8, 1.25)))))
        first, last = max(0, position - side + 1), min(position, length - side)
        start = int(rng.integers(first, last + 1))
        crop.append(slice(start, start + side))
    return crop[0], crop[1]


def vary_geometry(
    image: U8, masks: U8, boxes: NDArray[np.float64], rng: np.random.Generator, augmentation: Augmentation
) -> tuple[U8, U8, NDArray[np.float64]]:
    """Flips, transposition and rotation of image (H, W[, 3]), masks (K or more, H, W) and boxes (K, 4) alike; the first
    K masks are those of the boxes' objects.
    """
    height, width = masks.shape[1:]
    if rng.random() < augmentation.flip:
        image, masks = image[:, ::-1], masks[:, :, ::-1]
        boxes = np.stack([width - 1 - boxes[:, 2], boxes[:, 1], width - 1 - boxes[:, 0], boxes[:, 3]], 1)
    if rng.random() < augmentation.flip:
        image, masks = image[::-1], masks[:, ::-1]
        boxes = np.stack([boxes[:, 0], height - 1 - boxes[:, 3], boxes[:, 2], height - 1 - boxes[:, 1]], 1)
    if rng.random() < augmentation.transpose:
        image, masks = image.swapaxes(0, 1), masks.swapaxes(1, 2)
        boxes = boxes[:, [1, 0, 3, 2]]
        height, width = width, height
    if rng.random() < augmentation.rotation:
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-25, 25), rng.uniform(0.85, 1.15))
        turned = np.stack([cv2.warpAffine(np.ascontiguousarray(m), matrix, (width, height)) for m in masks])
        if all((m > 127).any() for m in turned[: len(boxes)]):  # else an object was turned out of sight
            image = as_u8(cv2.warpAffine(np.ascontiguousarray(image), matrix, (width, height)))
            masks = as_u8(turned)
            # Tight boxes: the extent of a turned box would be loose by an unknown amount.
            rows = []
            for mask in masks[: len(boxes)]:
                x, y, w, h = cv2.boundingRect((mask > 127).astype(np.uint8))
                rows.append([x, y, x + w - 1, y + h - 1])
            boxes = np.array(rows, float)
    return np.ascontiguousarray(image), np.ascontiguousarray(masks), boxes


def vary_intensity(image: U8, rng: np.random.Generator, augmentation: Augmentation) -> U8:
    """Gamma, contrast, inversion, colour, blur and noise of an (H, W) or (H, W, 3) image."""
    grey = image.ndim == 2 or bool((image[..., 0] == image[..., -1]).all())
    if not grey and rng.random() < augmentation.grey:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, -1)
    if rng.random() < augmentation.intensity:
        ramp = np.linspace(0, 1, 256)[:, None]
        channels = 1 if grey else 3
        shared = rng.normal(0, 0.3)
        gamma = np.exp(shared + rng.normal(0, 0.1, channels))
        contrast = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, channels))
        curve = (ramp**gamma - 0.5) * contrast + 0.5 + rng.normal(0, 0.05)
        table = (np.clip(curve, 0, 1) * 255).astype(np.uint8)
        if image.ndim == 3 and channels == 3:
            image = np.stack([table[:, c][image[..., c]] for c in range(3)], -1)
        else:
            image = table[:, 0][image]
    if rng.random() < augmentation.inversion:
        image = 255 - image
    if rng.random() < augmentation.blur:
        image = as_u8(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2)))
    if rng.random() < augmentation.noise:
        noise = rng.normal(0, rng.uniform(2, 12), image.shape[:2])
        noise = noise if image.ndim == 2 else noise[..., None]
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image)


def as_u8(image: object) -> U8:
    return np.asarray(image, np.uint8)


def jitter_boxes(boxes: F32, rng: np.random.Generator, augmentation: Augmentation) -> F32:
    """Move each side of (K, 4) frame boxes at random. May leave the frame."""
    sides = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]] * 2, 1)
    reach = np.clip(augmentation.box_jitter_relative * sides, 1, augmentation.box_jitter)
    kind = rng.random((len(boxes), 1))
    shift = rng.uniform(-reach, reach)
    shift = np.where(kind < augmentation.loose_box, shift + LOOSE * np.array([-1, -1, 1, 1]), shift)
    shift = np.where(kind > 1 - augmentation.tight_box, 0, shift)
    # A side never crosses its opposite: half a pixel always remains.
    moved = boxes + shift
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    low = np.minimum(moved[:, :2], centre - 0.25)
    high = np.maximum(moved[:, 2:], centre + 0.25)
    return np.concatenate([low, high], 1).astype(np.float32)
