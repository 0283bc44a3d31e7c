"""Fit what estimates the DSC of masks (engines/confidence.py) to training cases with boxes as people draw them.

Half of the boxes are tight or nearly so, the others loose, on all sides alike or on each differently. Examples are made
by the very code that segments, so that estimates see in use what they were fitted to.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from repmedsam_infer.boxes import Boxes, sizes_of
from repmedsam_infer.case import Case, find_cases, is_volume_name, modality_of, read_case
from repmedsam_infer.engines.confidence import LARGEST_INPUT, ConfidenceModel, Perceptron
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.weights import CONFIDENCE, SUMS
from repmedsam_infer.evaluation.evaluate import read_ground_truth
from repmedsam_infer.evaluation.metrics import dsc
from repmedsam_infer.preprocess import Picture
from repmedsam_infer.segmentation.box_fit import candidates, decode_with_features
from repmedsam_infer.segmentation.decode import Decoding, object_mask
from repmedsam_infer.segmentation.features import volume_features
from repmedsam_infer.segmentation.volume import label_volume
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_train.data.loose_boxes import moved_outwards
from repmedsam_train.data.split import some_of_each_dataset

F32 = NDArray[np.float32]
Labels = NDArray[np.integer]
OBJECTS = 10  # of a picture
DRAWS = 2  # of boxes around the same objects
HIDDEN, EPOCHS, BATCH, RATE, DROPOUT = 64, 40, 256, 3e-3, 0.1
BALANCE = 0.7  # how far rare modalities are made up for: 0 not at all, 1 wholly


@dataclass(frozen=True)
class Example:
    """One object with one box: (F,) features and the DSC of each mask, (O,)."""

    modality: str
    features: F32
    dsc: F32


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


def volume_examples(path: Path, engine: Engine, rng: np.random.Generator) -> Iterator[Example]:
    """Of every object, DRAWS boxes: features of its slices together, and the DSC of its mask."""
    case, (gts, _) = read_case(path), read_ground_truth(path)
    for _ in range(DRAWS if len(case.boxes.labels) else 0):
        drawn = case.boxes.corners.copy()
        drawn[:, [0, 1, 3, 4]] = drawn_boxes(drawn[:, [0, 1, 3, 4]], case.shape[1:], rng)
        if rng.random() < 0.5:
            ends = rng.integers(0, 3, (2, len(drawn)))
            drawn[:, 2] = np.maximum(drawn[:, 2] - ends[0], 0)
            drawn[:, 5] = np.minimum(drawn[:, 5] + ends[1], case.shape[0] - 1)
        loose: Case = replace(case, boxes=Boxes(drawn, case.boxes.labels, case.boxes.count))
        segs, boxes = label_volume(loose, engine, Stopwatch())
        for box in boxes:
            if (gts == box.label).any():
                score = dsc(gts == box.label, segs == box.label)
                yield Example(
                    modality_of(path.name), volume_features(np.stack(box.seen)), np.array([score], np.float32)
                )


def fit_confidence(
    pictures: Sequence[Example], volumes: Sequence[Example], say: Callable[[str], None]
) -> ConfidenceModel:
    """Fit all three networks to examples."""
    of_all = np.stack([one.features for one in pictures])
    outputs = len(pictures[0].dsc)
    first = [replace(one, features=one.features[: of_all.shape[1] // outputs]) for one in pictures]
    return ConfidenceModel(*(fit(part, say) for part in (first, pictures, volumes)))


def fit(examples: Sequence[Example], say: Callable[[str], None]) -> Perceptron:
    """Fit a network by squared error of the DSC, rare modalities counting for more than their share."""
    features, scores = np.stack([one.features for one in examples]), np.stack([one.dsc for one in examples])
    kinds, kind, counts = np.unique([one.modality for one in examples], return_inverse=True, return_counts=True)
    weights = (1 / counts[kind]) ** BALANCE
    mean, deviation = features.mean(0), features.std(0) + np.float32(1e-4)
    torch.manual_seed(0)
    sides = (features.shape[1], HIDDEN, HIDDEN, scores.shape[1])
    layers = [nn.Linear(i, o) for i, o in pairwise(sides)]
    network = nn.Sequential(
        layers[0], nn.ReLU(), nn.Dropout(DROPOUT), layers[1], nn.ReLU(), nn.Dropout(DROPOUT), layers[2]
    )
    x = torch.from_numpy(((features - mean) / deviation).clip(-LARGEST_INPUT, LARGEST_INPUT))
    y, w = torch.from_numpy(scores), torch.from_numpy((weights / weights.mean()).astype(np.float32))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    steps = EPOCHS * -(-len(x) // BATCH)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for some in torch.randperm(len(x)).split(BATCH):
            loss = ((network(x[some]) - y[some]).square().mean(1) * w[some]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    about = f"{len(x)} examples of {len(kinds)} modalities, {features.shape[1]} features"
    say(f"{about}: mean squared error {loss.item():.4f}")
    numbers = [(one.weight.detach().numpy().T.copy(), one.bias.detach().numpy().copy()) for one in layers]
    return Perceptron(mean, deviation, tuple(numbers))


def write_confidence(folder: Path, model: ConfidenceModel) -> None:
    """Put the file beside the weights that it was fitted to, and into their SHA256SUMS."""
    from safetensors.numpy import save_file

    path = folder / CONFIDENCE
    save_file(model.arrays(), path)
    lines = [line for line in (folder / SUMS).read_text().splitlines() if not line.endswith(f"  {CONFIDENCE}")]
    lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {CONFIDENCE}")
    (folder / SUMS).write_text("".join(f"{line}\n" for line in sorted(lines, key=lambda line: line.split()[1])))
