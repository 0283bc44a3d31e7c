"""Where to cut: one number added to all logits, chosen on training cases.

In training boxes are jittered and often loose; those that people and benchmarks give mostly are tight. Masks then
come out a little small, small objects most of all. The offset that gives the best masks from tight boxes goes into the
last bias of the decoder: nothing changes in the network's form.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from repmedsam_infer.case import modality_of, read_case
from repmedsam_infer.errors import UsageError
from repmedsam_infer.metrics import dsc, nsd
from repmedsam_infer.network import RepMedSAM, reparameterize
from repmedsam_infer.network.contrast import CONFIDENT
from repmedsam_infer.postprocess import window_mask
from repmedsam_infer.preprocess import Frame
from repmedsam_infer.window import windows_around

OFFSETS = tuple(np.arange(0, 2.01, 0.25).tolist())
BOXES = 20  # of a case, at most


def calibrate(model: RepMedSAM, cases: Path, per_modality: int = 25) -> dict[float, float]:
    """Score every offset on up to `per_modality` pictures of each modality, and add the best to `model`'s logits.

    Returns:
        For each offset the mean over modalities of (DSC + NSD) / 2.

    Raises:
        UsageError: there are no pictures, or the network is of a kind that has no such bias (without focus).

    """
    if model.contrast is None:
        raise UsageError("only networks with focus can be calibrated")
    by_modality: defaultdict[str, list[Path]] = defaultdict(list)
    for path in np.random.default_rng(0).permutation(sorted(cases.glob("2D*.npz"))):
        if len(by_modality[modality_of(path.name)]) < per_modality:
            by_modality[modality_of(path.name)].append(path)
    if not by_modality:
        raise UsageError(f"there are no pictures (2D*.npz) in {cases}")

    network = reparameterize(model)
    scores = [np.mean([scores_of_case(network, path) for path in paths], 0) for _, paths in sorted(by_modality.items())]
    means = dict(zip(OFFSETS, np.mean(scores, 0).tolist(), strict=True))
    best = max(means, key=lambda offset: means[offset])
    bias = model.contrast.refine.leave.bias
    assert bias is not None
    with torch.no_grad():
        bias.add_(best / CONFIDENT)
    return means


def scores_of_case(network: RepMedSAM, path: Path) -> list[float]:
    """(DSC + NSD) / 2 of a picture for each of OFFSETS."""
    case = read_case(path)
    with np.load(path, allow_pickle=False) as npz:
        gts = npz["gts"]
    frame = Frame(*case.shape)
    boxes = frame.place_boxes(case.boxes.corners[:BOXES].astype(np.float32))
    with torch.inference_mode():
        embedding = network.encode(torch.from_numpy(frame.place_image(case.imgs)[None]))
        low_res_logits = network.decode(embedding, torch.from_numpy(boxes))[0][:, 0].numpy()
    rows = []
    for logits, window, box, label in zip(
        low_res_logits, windows_around(boxes), boxes, case.boxes.labels, strict=False
    ):
        pixels = frame.pixels(box)
        gt = gts == label
        row = []
        for offset in OFFSETS:
            mask = np.zeros_like(gt)
            mask[pixels] = window_mask(logits + offset, window, frame, *pixels)
            row.append((dsc(gt, mask) + nsd(gt, mask, (1.0, 1.0))) / 2)
        rows.append(row)
    return np.mean(rows, 0).tolist() if rows else [0.0] * len(OFFSETS)
