"""Fit what estimates the DSC of masks, and where objects end (engines/confidence.py), to examples of training cases."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from repmedsam_infer.engines.confidence import LARGEST_INPUT, ConfidenceModel, Perceptron
from repmedsam_infer.engines.weights import CONFIDENCE, SUMS
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_train.weights.examples import Example, VolumeExamples

HIDDEN, EPOCHS, BATCH, RATE, DROPOUT = 64, 40, 256, 3e-3, 0.1
BALANCE = 0.7  # how far rare modalities are made up for: 0 not at all, 1 wholly


def fit_confidence(
    pictures: Sequence[Example], volumes: Sequence[VolumeExamples], say: Callable[[str], None]
) -> ConfidenceModel:
    """Fit all networks to examples."""
    of_all = np.stack([one.features for one in pictures])
    outputs = len(pictures[0].targets)
    first = [replace(one, features=one.features[: of_all.shape[1] // outputs]) for one in pictures]
    whole = [one for of_case in volumes for one in of_case.whole]
    ways = [one for of_case in volumes for one in of_case.ways]
    return ConfidenceModel(*(fit(part, say) for part in (first, pictures, whole, ways)))


def fit(examples: Sequence[Example], say: Callable[[str], None]) -> Perceptron:
    """Fit a network by squared error, rare modalities counting for more than their share."""
    features, targets = np.stack([one.features for one in examples]), np.stack([one.targets for one in examples])
    kinds, kind, counts = np.unique([one.modality for one in examples], return_inverse=True, return_counts=True)
    weights = (1 / counts[kind]) ** BALANCE
    mean, deviation = features.mean(0), features.std(0) + np.float32(1e-4)
    torch.manual_seed(0)
    sides = (features.shape[1], HIDDEN, HIDDEN, targets.shape[1])
    layers = [nn.Linear(i, o) for i, o in pairwise(sides)]
    network = nn.Sequential(
        layers[0], nn.ReLU(), nn.Dropout(DROPOUT), layers[1], nn.ReLU(), nn.Dropout(DROPOUT), layers[2]
    )
    x = torch.from_numpy(((features - mean) / deviation).clip(-LARGEST_INPUT, LARGEST_INPUT))
    y, w = torch.from_numpy(targets), torch.from_numpy((weights / weights.mean()).astype(np.float32))
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
    from safetensors.numpy import save

    path = folder / CONFIDENCE
    write_atomic(path, save(model.arrays()))
    lines = [line for line in (folder / SUMS).read_text().splitlines() if not line.endswith(f"  {CONFIDENCE}")]
    lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {CONFIDENCE}")
    (folder / SUMS).write_text("".join(f"{line}\n" for line in sorted(lines, key=lambda line: line.split()[1])))
