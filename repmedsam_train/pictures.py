"""Pictures of a run while it goes: its loss and validation, and masks of held-out objects."""

import csv
import io
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from repmedsam_infer.io.atomic import write_atomic

U8 = NDArray[np.uint8]
TRUE, FOUND = (80, 220, 80), (255, 80, 80)  # RGB of the two outlines
COLUMNS = 8


def draw_log(log: Path, target: Path) -> None:
    """Draw the loss, and where there is one the validation, of a run's log.csv, as PNG."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [(int(row["step"]), float(row["loss"])) for row in rows if row["loss"]]
    validations = [(int(row["step"]), float(row["validation"])) for row in rows if row["validation"]]
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    if losses:
        axes.plot(*zip(*losses, strict=True), color="tab:blue", linewidth=0.8)
    if validations:
        right = axes.twinx()
        right.plot(*zip(*validations, strict=True), color="tab:orange", marker="o")
        right.set_ylabel("validation (larger is better)", color="tab:orange")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_atomic(target, buffer.getvalue())


def draw_masks(views: U8, masks: NDArray[np.bool_], truths: NDArray[np.bool_]) -> U8:
    """(N, T, T, 3) views of N objects, and outlines of (N, T, T) masks, red, over the truth, green -> one picture."""
    tiles = []
    for view, mask, truth in zip(views, masks, truths, strict=True):
        tile = np.ascontiguousarray(view)
        for outlined, color in ((truth, TRUE), (mask, FOUND)):
            outlines, _ = cv2.findContours(outlined.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(tile, outlines, -1, color, 1)
        tiles.append(np.pad(tile, ((1, 1), (1, 1), (0, 0))))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)
