"""Examples for what is fitted to masks (confidence.py): features of them, and how good they are, on training cases.

Half of the boxes are tight or nearly so, the others loose, on all sides alike or on each differently. Examples are made
by the very code that segments, so that estimates see in use what they were fitted to.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import Boxes, sizes_of
from repmedsam_infer.case import Case, read_case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.evaluation.evaluate import read_ground_truth
from repmedsam_infer.evaluation.metrics import dsc
from repmedsam_infer.io.case_files import find_cases, is_volume_name, modality_of
from repmedsam_infer.preprocess import Picture, View
from repmedsam_infer.segmentation.box_fit import candidates, decode_with_features
from repmedsam_infer.segmentation.decode import Decoding, object_mask
from repmedsam_infer.segmentation.ellipsoid import label_by_ellipsoids
from repmedsam_infer.segmentation.embeddings import SliceEmbeddings
from repmedsam_infer.segmentation.features import volume_features
from repmedsam_infer.segmentation.follow import OnSlice, Start, follow
from repmedsam_infer.segmentation.open_ended import way_features
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_train.comparison.loose_boxes import moved_outwards
from repmedsam_train.data.split import some_of_each_dataset

F32 = NDArray[np.float32]
Labels = NDArray[np.integer]
OBJECTS = 10  # of a picture
DRAWS = 2  # of boxes around the same objects
BEYOND = 10  # slices that an object is followed beyond its end


@dataclass(frozen=True)
class Example:
    """Features of masks, (F,), and what is to be estimated from them, (O,) in 0..1: DSC, or presence."""

    modality: str
    features: F32
    targets: F32


def choose_cases(folder: Path, per_dataset: int, *, volumes: bool) -> list[Path]:
    """Up to `per_dataset` cases of each data set (the names before their numbers), always the same."""
    paths = [path for path in find_cases(folder) if is_volume_name(path.name) == volumes]
    return some_of_each_dataset(paths, per_dataset, seed=1)


def drawn_boxes(tight: NDArray[np.float64], shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """(N, 4) tight boxes on an (H, W) image -> boxes as people draw them: in whole pixels, inside it, never empty."""
    count = len(tight)
    alike = rng.uniform(0, 0.25, (count, 1)) * rng.uniform(0.7, 1, (count, 4))
    apart = rng.uniform(0, 0.22, (count, 4))
    nearly = rng.uniform(-0.07, 0.07, (count, 4))
    kind = rng.random((count, 1))
    share = np.select([kind < 0.35, kind < 0.65, kind < 0.8], [np.zeros((count, 4)), alike, apart], nearly)
    sides = np.tile(tight[:, 2:] - tight[:, :2] + 1, 2)
    return moved_outwards(tight, np.rint(share * sides), shape)


def picture_examples(path: Path, engine: Engine, rng: np.random.Generator) -> Iterator[Example]:
    """Of up to OBJECTS objects, DRAWS boxes each: features and DSC of the masks of all candidates of box_fit.py."""
    case, (gts, _) = read_case(path), read_ground_truth(path)
    if not len(case.boxes.labels):
        return
    sizes = dict(zip(case.boxes.labels.tolist(), sizes_of(case.boxes.corners).tolist(), strict=True))
    some = np.sort(rng.permutation(len(sizes))[:OBJECTS])
    tight, labels = case.boxes.corners[some], case.boxes.labels[some].tolist()
    picture = Picture(case.imgs)
    view, embedding = picture.whole, engine.encode(picture.place(picture.whole))
    for _ in range(DRAWS):
        boxes = candidates(drawn_boxes(tight, case.shape, rng).astype(np.float32), view)
        decoded, features = decode_with_features(boxes.reshape(-1, 4), view, embedding, engine)
        decodings = [
            Decoding(view, *one)
            for one in zip(view.place_boxes(boxes.reshape(-1, 4)), decoded.low_res_logits, strict=True)
        ]
        features = features.reshape(len(boxes), len(labels), -1)
        for i, label in enumerate(labels):
            truth = gts == label
            if truth.any():
                counted = ~np.isin(gts, [other for other, size in sizes.items() if size < sizes[label]])
                scores = [
                    visible_dsc(decodings[k * len(labels) + i], truth, counted, engine) for k in range(len(boxes))
                ]
                yield Example(modality_of(path.name), features[:, i].ravel(), np.array(scores, np.float32))


def visible_dsc(decoding: Decoding, truth: NDArray[np.bool_], counted: NDArray[np.bool_], engine: Engine) -> float:
    """DSC of a mask, of which what smaller objects cover does not count."""
    rows, columns, mask = object_mask([decoding], focus=engine.focus)
    whole = np.zeros(truth.shape, bool)
    whole[rows, columns] = mask
    return dsc(truth, whole & counted)


@dataclass(frozen=True)
class VolumeExamples:
    """What one volume gives.

    whole: of every object, features of its slices together, and the DSC of its mask.
    ways: of every slice on the way of an object that is followed from one slice, past its ends, features, and whether
        the object is there.
    """

    whole: list[Example]
    ways: list[Example]


def volume_examples(path: Path, engine: Engine, rng: np.random.Generator) -> VolumeExamples:
    """Of every object, DRAWS boxes of six numbers, and as many on one slice."""
    case, (gts, _) = read_case(path), read_ground_truth(path)
    found = VolumeExamples([], [])
    embeddings = SliceEmbeddings(case, View(*case.shape[1:]), engine, Stopwatch())
    for _ in range(DRAWS if len(case.boxes.labels) else 0):
        found.whole.extend(whole_examples(case, gts, embeddings, engine, rng))
        found.ways.extend(way_examples(case, gts, embeddings, engine, rng))
    return found


def whole_examples(
    case: Case, gts: Labels, embeddings: SliceEmbeddings, engine: Engine, rng: np.random.Generator
) -> Iterator[Example]:
    """Of boxes of six numbers, half of them too long in z."""
    drawn = case.boxes.corners.copy()
    drawn[:, [0, 1, 3, 4]] = drawn_boxes(drawn[:, [0, 1, 3, 4]], case.shape[1:], rng)
    if rng.random() < 0.5:
        ends = rng.integers(0, 3, (2, len(drawn)))
        drawn[:, 2] = np.maximum(drawn[:, 2] - ends[0], 0)
        drawn[:, 5] = np.minimum(drawn[:, 5] + ends[1], case.shape[0] - 1)
    loose: Case = replace(case, boxes=Boxes(drawn, case.boxes.labels, case.boxes.count))
    segs, boxes = label_by_ellipsoids(loose, embeddings, engine, Stopwatch())
    for box in boxes:
        truth = gts == box.label
        if not truth.any():
            continue
        score = np.array([dsc(truth, segs == box.label)], np.float32)
        yield Example(modality_of(case.name), volume_features(np.stack(box.seen)), score)


def way_examples(
    case: Case, gts: Labels, embeddings: SliceEmbeddings, engine: Engine, rng: np.random.Generator
) -> Iterator[Example]:
    """Half of the boxes are on the slice where their object is largest, the others on any of its slices."""
    depth, height, width = case.shape
    view = embeddings.view
    whole = view.place_boxes(np.array([[0, 0, width - 1, height - 1]], np.float32))[0]
    starts, labels = [], []
    for label in case.boxes.labels.tolist():
        areas = (gts == label).sum((1, 2))
        present = np.flatnonzero(areas)
        if not len(present):
            continue
        z = int(areas.argmax() if rng.random() < 0.5 else rng.choice(present, p=areas[present] / areas.sum()))
        rows, columns = np.nonzero(gts[z] == label)
        tight = np.array([[columns.min(), rows.min(), columns.max(), rows.max()]], np.float64)
        prompt = view.place_boxes(drawn_boxes(tight, (height, width), rng).astype(np.float32))[0]
        first, last = max(0, int(present[0]) - BEYOND), min(depth - 1, int(present[-1]) + BEYOND)
        starts.append(Start(z, first, last, prompt, whole))
        labels.append(label)
    on: list[dict[int, OnSlice]] = [{} for _ in starts]
    for i, now in follow(starts, embeddings, engine, Stopwatch(), lambda *way: bool(way[2].mask.any())):
        on[i][now.z] = now
        if now.z != starts[i].z and now.mask.any():
            before = on[i][now.z - (1 if now.z > starts[i].z else -1)]
            features = way_features(case.imgs, on[i][starts[i].z], before, now)
            there = float((gts[now.z] == labels[i]).any())
            yield Example(modality_of(case.name), features, np.array([there], np.float32))
