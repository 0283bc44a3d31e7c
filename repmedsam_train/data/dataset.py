"""Training samples from challenge npz files: random slices of volumes, varied, with boxes and their masks."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import bottom_to_top
from repmedsam_infer.case import is_volume_name, modality_of
from repmedsam_infer.decoder_roi import rois_around, whole_frame
from repmedsam_infer.errors import UsageError
from repmedsam_infer.preprocess import FRAME_SIZE, LAST_EDGE, Frame
from repmedsam_infer.segment import VolumeBox
from repmedsam_train.data.drawn import draw_case
from repmedsam_train.data.mammogram import findings

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

FOCUSED_SIDE = 128  # of the masks over rois: twice as fine as logits of grid 16
VISITS = 4  # of a volume for one of a picture
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


@dataclass(frozen=True)
class TrainingCase:
    """A case in memory: imgs (D, H, W) or (1, H, W, 3) uint8, gts (D, H, W) integer labels."""

    imgs: U8
    gts: NDArray[np.integer]
    slices: dict[int, NDArray[np.intp]]  # for each label, the slices where it can be seen
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


@dataclass(frozen=True)
class Batch:
    """B samples: images (B, 3, S, S), the prompted objects of all of them, the image that each is on (N,)."""

    images: F32
    prompted: Prompted
    image_index: NDArray[np.int64]


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


class TrainingSet:
    """Training cases; batch `step` is the same whenever it is asked for.

    A case is drawn with probability proportional to how many cases its modality has to the power of `balance`, times
    what `emphasis` says of the modality, and within the modality to the square root of its data set's: rare modalities
    are seen more often than their share, common ones still more often than rare.
    A volume counts as VISITS cases, as it has many slices (paper section 3.2). Cases stay in memory once read.
    """

    def __init__(
        self,
        paths: list[Path],
        seed: int = 0,
        augmentation: Augmentation | None = None,
        focus: bool = True,
        balance: float = 0.5,
        emphasis: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.paths = paths
        self.seed = seed
        self.augmentation = augmentation or Augmentation()
        self.focus = focus
        self.probabilities = draw_probabilities(self.paths, balance, emphasis)
        self.cases: dict[int, TrainingCase] = {}

    def case(self, index: int) -> TrainingCase:
        if index not in self.cases:
            self.cases[index] = read_training_case(self.paths[index])
        return self.cases[index]

    def real_case(self, rng: np.random.Generator) -> TrainingCase:
        """A random case; of a mammogram at times with skin or dense tissue in place of what is marked."""
        index = int(rng.choice(len(self.paths), p=self.probabilities))
        case = self.case(index)
        if modality_of(self.paths[index].name) != "Mammography":
            return case
        objects = findings(case.imgs[0], rng, self.augmentation.skin, self.augmentation.dense)
        return training_case(case.imgs, objects[None]) if objects.any() else case

    def batch(self, step: int, batch_size: int, size: int, boxes_per_image: int, drawn: float = 0) -> Batch:
        """`batch_size` samples; each is with probability `drawn` of a drawn case, else of a real one."""
        rng = np.random.default_rng([self.seed, step])
        samples: list[Sample] = []
        while len(samples) < batch_size:
            case = training_case(*draw_case(rng)) if rng.random() < drawn else self.real_case(rng)
            sample = draw_sample(case, rng, size, boxes_per_image, self.augmentation, self.focus)
            if sample is not None:
                samples.append(sample)
        parts = [s.prompted for s in samples]
        return Batch(
            np.stack([s.image for s in samples]),
            Prompted(
                np.concatenate([p.boxes for p in parts]),
                np.concatenate([p.rois for p in parts]),
                np.concatenate([p.masks for p in parts]),
                np.concatenate([p.covered for p in parts]),
            ),
            np.repeat(np.arange(len(samples)), [len(p.boxes) for p in parts]),
        )


def draw_probabilities(
    paths: list[Path], balance: float = 0.5, emphasis: Mapping[str, float] = MappingProxyType({})
) -> NDArray[np.float64]:
    """What `TrainingSet` says of how often each case is drawn.

    Raises:
        UsageError: `emphasis` names a modality that no case is of.

    """
    datasets = [p.stem.rsplit("_", 1)[0] for p in paths]
    visits = np.array([VISITS if is_volume_name(p.name) else 1 for p in paths])
    in_dataset: defaultdict[str, int] = defaultdict(int)
    for dataset, count in zip(datasets, visits.tolist(), strict=True):
        in_dataset[dataset] += count
    in_modality: defaultdict[str, int] = defaultdict(int)
    # Of each modality, the sum over its data sets of the roots of their sizes.
    roots: defaultdict[str, float] = defaultdict(float)
    modality_of_dataset = {dataset: modality_of(p.name) for dataset, p in zip(datasets, paths, strict=True)}
    unknown = sorted(emphasis.keys() - set(modality_of_dataset.values()))
    if unknown:
        raise UsageError(f"emphasis names {', '.join(unknown)}, of which there is no training case")
    for dataset, modality in modality_of_dataset.items():
        in_modality[modality] += in_dataset[dataset]
        roots[modality] += in_dataset[dataset] ** 0.5
    shares = {
        dataset: emphasis.get(modality, 1)
        * in_modality[modality] ** balance
        * in_dataset[dataset] ** 0.5
        / roots[modality]
        for dataset, modality in modality_of_dataset.items()
    }
    weights = visits * [shares[dataset] / in_dataset[dataset] for dataset in datasets]
    return weights / weights.sum()


def draw_sample(
    case: TrainingCase,
    rng: np.random.Generator,
    size: int,
    boxes_per_image: int,
    augmentation: Augmentation,
    focus: bool,
) -> Sample | None:
    """A random view of a random slice with up to `boxes_per_image` of its objects; None where the view shows none.

    With `focus` the masks cover the rois of the boxes, else the whole frame.
    """
    if not case.slices:
        return None
    anchor = int(rng.choice(list(case.slices)))  # every object equally often, however many slices it has
    z = int(rng.choice(case.slices[anchor]))
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
    volume_boxes: list[tuple[int, int] | None] = []  # of those prompted by a section of their 3D box, its slices
    height, width = label.shape
    for value in [anchor, *chosen]:
        mask = (label == value).astype(np.uint8) * 255
        x, y, w, h = cv2.boundingRect(mask)
        box = np.array([x, y, x + w - 1, y + h - 1], float)
        volume_box = None
        if len(case.gts) > 1 and rng.random() < augmentation.volume_box:
            box = np.array(case.extents[int(value)], float) - offset
            box = np.clip(box, 0, [width - 1, height - 1, width - 1, height - 1])
            volume_box = int(case.slices[int(value)][0]), int(case.slices[int(value)][-1])
        objects.append(mask)
        covers.append((layer > layer_of[value]).astype(np.uint8) * 255)
        boxes.append(box.tolist())
        volume_boxes.append(volume_box)

    if any(volume_boxes):  # what a turned 3D box would be is not known
        augmentation = replace(augmentation, rotation=0)
    image, masks, box_array = vary_geometry(image, np.stack(objects + covers), np.array(boxes), rng, augmentation)
    image = vary_intensity(image, rng, augmentation)
    frame = Frame(image.shape[0], image.shape[1])
    jittered = jitter_boxes(frame.place_boxes(box_array.astype(np.float32)), rng, augmentation)
    clip_boxes = np.clip(jittered, -LAST_EDGE, np.array([frame.new_width, frame.new_height] * 2) - LAST_EDGE)
    clip_boxes = clip_boxes.astype(np.float32)
    prompts = [
        clip_box if volume_box is None else VolumeBox(0, *volume_box, clip_box).section(z)
        for clip_box, volume_box in zip(clip_boxes, volume_boxes, strict=True)
    ]
    rois = rois_around(clip_boxes) if focus else whole_frame(len(clip_boxes))
    side = FOCUSED_SIDE if focus else FRAME_SIZE
    seen = [seen_in(roi, mask, frame, side) for roi, mask in zip([*rois, *rois], masks, strict=True)]
    targets, covered = np.stack(seen[: len(clip_boxes)]), np.stack(seen[len(clip_boxes) :])
    placed = Frame(image.shape[0], image.shape[1], size).place_image(image)
    return Sample(placed, Prompted(np.stack(prompts), rois, targets, covered))


def seen_in(roi: F32, mask: U8, frame: Frame, side: int) -> U8:
    """(H, W) mask of an image -> (side, side): what an ROI of the frame shows of it, 0 beyond the image."""
    left, top, right, bottom = (roi / frame.scale).tolist()
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
