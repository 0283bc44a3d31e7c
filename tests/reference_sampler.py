"""Samples drawn one by one on the host, in numpy and OpenCV: what the device sampler is held against."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import bottom_to_top
from repmedsam_infer.decoder_roi import rois_around, whole_frame
from repmedsam_infer.preprocess import FRAME_SIZE, LAST_EDGE, View
from repmedsam_infer.segmentation.ellipsoid import VolumeBox
from repmedsam_train.data.augmentation import LOOSE, Augmentation

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

FOCUSED_SIDE = 128  # of the masks over ROIs: twice as fine as logits of grid 16


@dataclass(frozen=True)
class TrainingCase:
    """A case in memory: imgs (D, H, W) or (1, H, W, 3) uint8, gts (D, H, W) integer labels."""

    imgs: U8
    gts: NDArray[np.integer]
    slices: dict[int, NDArray[np.intp]]  # for each label, the slices where it is
    extents: dict[int, tuple[int, int, int, int]]  # for each label, x_min y_min x_max y_max over the volume
    layers: dict[int, int]  # of each label, how far up it is painted (boxes.py)


@dataclass(frozen=True)
class Prompted:
    """K objects of one image: boxes (K, 4) and rois (K, 4) float32 in pixels of the 256-pixel frame, and masks
    (K, T, T) uint8 over the rois, 255 inside. `covered`, likewise, is where an object with a smaller box lies: it is
    painted over (boxes.py), and what the mask says there does not matter.
    """

    boxes: F32
    rois: F32
    masks: U8
    covered: U8


@dataclass(frozen=True)
class Sample:
    """image (3, S, S) float32 in [0, 1], and what is prompted on it."""

    image: F32
    prompted: Prompted


def read_training_case(path: Path) -> TrainingCase:
    with np.load(path, allow_pickle=False) as data:
        imgs, gts = data["imgs"], data["gts"]
    return training_case(imgs[None], gts[None]) if gts.ndim == 2 else training_case(imgs, gts)


def training_case(imgs: U8, gts: NDArray[np.integer]) -> TrainingCase:
    slices, extents = {}, {}
    for label in np.unique(gts)[1:]:
        z, y, x = np.nonzero(gts == label)
        slices[int(label)] = np.unique(z)
        extents[int(label)] = (int(x.min()), int(y.min()), int(x.max()), int(y.max()))
    boxes = [[*extents[label][:2], z[0], *extents[label][2:], z[-1]] for label, z in slices.items()]
    order = bottom_to_top(np.array(boxes)) if boxes else ()
    present = list(slices)
    layers = {present[i]: layer for layer, i in enumerate(order)}
    return TrainingCase(imgs, gts, slices, extents, layers)


def draw_sample(
    case: TrainingCase,
    rng: np.random.Generator,
    size: int,
    boxes_per_image: int,
    augmentation: Augmentation,
    *,
    focus: bool,
) -> Sample | None:
    """Return a random crop of a random slice with up to `boxes_per_image` of its objects; None where it holds none.

    With `focus` the masks cover the ROIs of the boxes, else the whole frame.
    """
    if not case.slices:
        return None
    anchor = int(rng.choice(list(case.slices)))  # every object equally often, however many slices it has
    z = int(rng.choice(case.slices[anchor]))
    return sample_of(case, anchor, z, rng, size, boxes_per_image, augmentation, focus=focus)


def sample_of(
    case: TrainingCase,
    anchor: int,
    z: int,
    rng: np.random.Generator,
    size: int,
    boxes_per_image: int,
    augmentation: Augmentation,
    *,
    focus: bool,
) -> Sample:
    """Return a random crop of slice z with object `anchor` and others."""
    image, label = case.imgs[z], case.gts[z]
    if rng.random() < augmentation.crop:
        rows, columns = random_crop(label == anchor, rng, augmentation.smallest_crop)
    else:
        rows, columns = slice(0, label.shape[0]), slice(0, label.shape[1])
    offset = np.array([columns.start, rows.start, columns.start, rows.start])
    image, label = image[rows, columns], label[rows, columns]

    present = np.unique(label)
    present = present[present > 0]
    chosen = rng.permutation(present[present != anchor])[: boxes_per_image - 1]
    objects: list[U8] = []
    covers: list[U8] = []
    layer_of = np.array([case.layers.get(value, 0) for value in range(int(present[-1]) + 1)])
    layer_of[0] = -1  # the background covers nothing
    layer = layer_of[label]
    boxes: list[list[float]] = []
    slices_of_box: list[tuple[int, int] | None] = []  # of those prompted by a section of their 3D box, its slices
    height, width = label.shape
    for value in [anchor, *chosen]:
        mask = (label == value).astype(np.uint8) * 255
        x, y, w, h = cv2.boundingRect(mask)
        box = np.array([x, y, x + w - 1, y + h - 1], float)
        spanned = None
        if len(case.gts) > 1 and rng.random() < augmentation.volume_box:
            box = np.array(case.extents[int(value)], float) - offset
            box = np.clip(box, 0, [width - 1, height - 1, width - 1, height - 1])
            spanned = int(case.slices[int(value)][0]), int(case.slices[int(value)][-1])
        objects.append(mask)
        covers.append((layer > layer_of[value]).astype(np.uint8) * 255)
        boxes.append(box.tolist())
        slices_of_box.append(spanned)

    if any(slices_of_box):  # what a turned 3D box would be is not known
        augmentation = replace(augmentation, rotation=0)
    image, masks, box_array = vary_geometry(image, np.stack(objects + covers), np.array(boxes), rng, augmentation)
    image = vary_intensity(image, rng, augmentation)
    view = View(image.shape[0], image.shape[1])
    jittered = jitter_boxes(view.place_boxes(box_array.astype(np.float32)), rng, augmentation)
    clip_boxes = np.clip(jittered, -LAST_EDGE, np.array([view.new_width, view.new_height] * 2) - LAST_EDGE)
    clip_boxes = clip_boxes.astype(np.float32)
    prompts = [
        clip_box if spanned is None else VolumeBox(0, *spanned, clip_box).section(z)
        for clip_box, spanned in zip(clip_boxes, slices_of_box, strict=True)
    ]
    rois = rois_around(clip_boxes) if focus else whole_frame(len(clip_boxes))
    side = FOCUSED_SIDE if focus else FRAME_SIZE
    in_rois = [mask_in_roi(roi, mask, view, side) for roi, mask in zip([*rois, *rois], masks, strict=True)]
    targets, covered = np.stack(in_rois[: len(clip_boxes)]), np.stack(in_rois[len(clip_boxes) :])
    placed = View(image.shape[0], image.shape[1], size).place_image(image)
    return Sample(placed, Prompted(np.stack(prompts), rois, targets, covered))


def mask_in_roi(roi: F32, mask: U8, view: View, side: int) -> U8:
    """(H, W) mask of an image -> (side, side): what an ROI of the frame shows of it, 0 beyond the image."""
    left, top, right, bottom = (roi / view.scale).tolist()
    across, down = (right - left) / side, (bottom - top) / side
    to_image = np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]])
    return as_u8(cv2.warpAffine(mask, to_image, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))


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
