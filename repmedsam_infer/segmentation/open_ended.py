"""Boxes on one slice of a volume: their objects are followed from slice to slice, both ways, until they end.

Whether an object is still there is estimated on every slice from its mask, and from what changed since the slice before
(`way_features`; engines/confidence.py: `presence`). Each slice adds the log odds of that, and the end is where their
sum is highest: one unlikely slice among likely ones does not end an object. Then the box that its masks span is
segmented like any other 3D box, and what both have in common is the object (docs/experiments.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.engines.confidence import Perceptron
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.errors import SetupError
from repmedsam_infer.segmentation.embeddings import SliceEmbeddings
from repmedsam_infer.segmentation.features import FEATURES
from repmedsam_infer.segmentation.follow import OnSlice, Start, follow
from repmedsam_infer.system.stopwatch import Stopwatch

F32 = NDArray[np.float32]
MOST_SLICES = 200  # on each side of the box
GIVE_UP = 3.0  # log odds below the highest sum: the end has been passed
SUREST = 0.98  # no slice counts for more, or for less than 1 - SUREST
WAY_FEATURES = (
    *FEATURES,
    "growth",  # log of the mask's area over that on the slice before
    "growth_since_start",
    "overlap",  # IoU with the mask on the slice before
    "change",  # mean absolute difference of grey levels, 0 to 1, under that mask, from that slice to this
    "brightness",  # of the mask, less that of the first mask: 0 to 1
)


@dataclass
class Ending:
    """One object in one direction: the slice that it is thought to end on, and the sums of log odds."""

    end: int
    sum: float = 0.0
    highest: float = 0.0

    def add(self, z: int, presence: float) -> bool:
        """Take the estimate of slice z; returns whether the next one is worth trying."""
        p = min(max(presence, 1 - SUREST), SUREST)
        self.sum += float(np.log(p / (1 - p)))
        if self.sum > self.highest:
            self.end, self.highest = z, self.sum
        return self.sum > self.highest - GIVE_UP


@dataclass
class Followed:
    """An object on its way: its masks by slice, and both ends."""

    first: OnSlice
    ends: dict[int, Ending]
    on: dict[int, OnSlice] = field(default_factory=dict)

    @property
    def masks(self) -> list[OnSlice]:
        """From end to end."""
        return [self.on[z] for z in range(self.ends[-1].end, self.ends[1].end + 1)]

    @property
    def corners(self) -> list[float]:
        """Box of six, in voxels, that the masks span; that of the first slice if they are empty."""
        spans = [extent for one in self.masks if (extent := one.extent) is not None]
        if not spans:
            rows, columns = self.first.rows, self.first.columns
            spans = [(columns.start, rows.start, columns.stop - 1, rows.stop - 1)]
        lower, upper = np.min(spans, axis=0)[:2].tolist(), np.max(spans, axis=0)[2:].tolist()
        return [*lower, self.ends[-1].end, *upper, self.ends[1].end]


@dataclass(frozen=True)
class Found:
    """What following open-ended boxes gives.

    corners: (K, 6) of all usable boxes, those of open-ended ones as far as their objects go.
    masks: of each open-ended box, by its place among the usable ones, its mask on every slice from end to end.
    warnings: for the user.
    """

    corners: NDArray[np.float64]
    masks: dict[int, list[OnSlice]]
    warnings: tuple[str, ...]


def find_ends(case: Case, embeddings: SliceEmbeddings, engine: Engine, watch: Stopwatch) -> Found:
    """Follow all open-ended boxes of a case.

    Raises:
        SetupError: these weights have nothing that estimates where objects are.

    """
    if engine.confidence is None:
        raise SetupError(
            "these weights cannot find where an object ends (they have no confidence.safetensors): "
            "give boxes of six numbers"
        )
    corners, (depth, height, width) = case.boxes.corners.copy(), case.shape
    open_ended = [i for i, label in enumerate(case.boxes.labels.tolist()) if label in case.boxes.open_ended]
    view = embeddings.view
    whole = view.place_boxes(np.array([[0, 0, width - 1, height - 1]], np.float32))[0]
    starts = []
    for box in corners[open_ended]:
        z = round(box[2])
        prompt = view.place_boxes(box[None, [0, 1, 3, 4]].astype(np.float32))[0]
        starts.append(Start(z, max(0, z - MOST_SLICES), min(depth - 1, z + MOST_SLICES), prompt, whole))
    followed = follow_to_ends(case.imgs, starts, embeddings, engine, watch, engine.confidence.presence)
    warnings, masks = [], {}
    for i, start, one in zip(open_ended, starts, followed, strict=True):
        corners[i], masks[i] = one.corners, one.masks
        cut = [end.end for step, end in one.ends.items() if end.end == start.z + step * MOST_SLICES]
        if cut:
            warnings.append(
                f"box {case.boxes.labels[i]}: its object was followed for {MOST_SLICES} slices, to slice {cut[0]}, and "
                "may go on: for more give a box of six numbers"
            )
    return Found(corners, masks, tuple(warnings))


def keep_what_following_found(segs: Segmentation, label: int, masks: Sequence[OnSlice]) -> None:
    """Set to 0, in (D, H, W) labels of the box that was found, what is not in the masks on the way, too."""
    for one in masks:
        here = segs[one.z] == label
        here[one.rows, one.columns] &= ~one.mask
        segs[one.z][here] = 0


def follow_to_ends(
    imgs: NDArray[np.uint8],
    starts: list[Start],
    embeddings: SliceEmbeddings,
    engine: Engine,
    watch: Stopwatch,
    presence: Perceptron,
) -> list[Followed]:
    """Follow every object until it has ended on both sides."""
    followed: dict[int, Followed] = {}

    def goes_on(i: int, step: int, now: OnSlice) -> bool:
        if not now.mask.any():
            return False
        one = followed[i]
        estimated = presence(way_features(imgs, one.first, one.on[now.z - step], now)[None])
        return one.ends[step].add(now.z, float(estimated[0, 0]))

    for i, on_slice in follow(starts, embeddings, engine, watch, goes_on):
        if i not in followed:
            followed[i] = Followed(on_slice, {step: Ending(on_slice.z) for step in (-1, 1)})
        followed[i].on[on_slice.z] = on_slice
    return [followed[i] for i in range(len(starts))]


def way_features(imgs: NDArray[np.uint8], first: OnSlice, before: OnSlice, now: OnSlice) -> F32:
    """(len(WAY_FEATURES),) of the mask on a slice, with that on the slice before and on the first one.

    imgs: (D, H, W[, 3]).
    """
    area, area_before, area_first = (int(one.mask.sum()) for one in (now, before, first))
    common = now.pixels_shared_with(before)
    under = before.rows, before.columns
    was, became = (imgs[z][under][before.mask].astype(np.float32) for z in (before.z, now.z))
    change = np.abs(became - was).mean() / 255 if area_before else 0.0
    return np.append(
        now.features,
        [
            np.log((area + 1) / (area_before + 1)),
            np.log((area + 1) / (area_first + 1)),
            common / max(area + area_before - common, 1),
            change,
            brightness(imgs, now) - brightness(imgs, first),
        ],
    ).astype(np.float32)


def brightness(imgs: NDArray[np.uint8], one: OnSlice) -> float:
    """Mean grey level, 0 to 1, under a mask; 0 where it is empty."""
    return float(imgs[one.z][one.rows, one.columns][one.mask].mean()) / 255 if one.mask.any() else 0.0
