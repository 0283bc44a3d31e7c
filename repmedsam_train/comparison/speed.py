"""The paper's table 5: the same cases segmented in the baseline's way, in the paper's two, and in ours, in turn.

The others' networks have random weights and run in torch, as they were published. As there, every box of a volume has
its slices encoded anew, and a picture is encoded once. In all else they do as ours: in how slices
are prompted, and in decoding boxes in batches.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray

from repmedsam_infer.batch.report import rounded
from repmedsam_infer.boxes import Boxes, bottom_to_top
from repmedsam_infer.case import Case, Segmentation, read_case, write_segmentation
from repmedsam_infer.commands.environment import describe
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.torch import TorchEngine
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.evaluation.markdown import markdown
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.network import RepMedSAM, reparameterize
from repmedsam_infer.network.repmedsam import Grid
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_train.comparison.litemedsam import LiteMedSAM
from repmedsam_train.weights.networks import Network, on_device

BASELINE, UNFUSED, PAPER, OURS = "LiteMedSAM", "not re-parameterized", "as published", "ours"
PAPER_GRID: Grid = 64


@dataclass
class Variant:
    """How a case is done, by which engines pictures and volumes, and the seconds that it took, a list a case."""

    name: str
    engines: tuple[Engine, Engine]
    box_by_box: bool
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def do(self, case: Case) -> Segmentation:
        engine = self.engines[case.is_volume]
        if not (self.box_by_box and case.is_volume):
            return segment(case, engine, Stopwatch()).labels
        segs = case.empty_segmentation()
        for i in bottom_to_top(case.boxes.corners).tolist():
            alone = segment(with_boxes(case, slice(i, i + 1)), engine, Stopwatch()).labels
            np.copyto(segs, alone, where=alone > 0)
        return segs


def variants(weights: Weights, threads: int) -> list[Variant]:
    """Return the baseline's, the paper's two, and ours."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = RepMedSAM(PAPER_GRID)

    def in_torch(name: str, network: Network) -> Variant:
        engine = TorchEngine(on_device(network, torch.device("cpu")).eval())
        return Variant(name, (engine, engine), box_by_box=True)

    ours = tuple(load_engine("openvino", weights, threads, volumes=volumes) for volumes in (False, True))
    return [
        in_torch(BASELINE, LiteMedSAM()),
        in_torch(UNFUSED, network),
        in_torch(PAPER, reparameterize(network)),
        Variant(OURS, (ours[0], ours[1]), box_by_box=False),
    ]


def compare_speed(
    paths: Sequence[Path],
    compared: Sequence[Variant],
    rounds: int,
    depth: int,
    scratch: Path,
    show: Callable[[str], None],
) -> dict[str, Case]:
    """Do every case in every variant, `rounds` times, volumes cut to their middle `depth` slices; put down the seconds.

    Returns:
        The cases as they were done, by name.

    Raises:
        CaseReadError: a case cannot be read.

    """
    cases = {path.stem: cut(read_case(path), depth) for path in paths}
    for name, case in cases.items():
        for turn in range(rounds):
            for variant in compared:
                if turn == 0:
                    segment(first_box(case), variant.engines[case.is_volume], Stopwatch())  # buffers are made
                start = time.perf_counter()
                segs = variant.do(case)
                write_segmentation(scratch / f"{name}.npz", segs)
                variant.seconds.setdefault(name, []).append(time.perf_counter() - start)
                show(f"{name} {variant.name}: {variant.seconds[name][-1]:.2f} s")
    return cases


def cut(case: Case, depth: int) -> Case:
    """Return a volume's middle `depth` slices, its boxes with them."""
    if not case.is_volume or len(case.imgs) <= depth:
        return case
    first = (len(case.imgs) - depth) // 2
    corners = case.boxes.corners.copy()
    corners[:, [2, 5]] = np.clip(corners[:, [2, 5]] - first, 0, depth - 1)
    return replace(case, imgs=case.imgs[first : first + depth], boxes=replace(case.boxes, corners=corners))


def with_boxes(case: Case, some: slice) -> Case:
    boxes = case.boxes
    return replace(case, boxes=Boxes(boxes.corners[some], boxes.labels[some], boxes.count))


def first_box(case: Case) -> Case:
    """One box on one slice."""
    return with_boxes(cut(case, 1), slice(0, 1))


def table(cases: dict[str, Case], compared: Sequence[Variant]) -> str:
    """Median seconds, and how many times as long as ours the others take."""
    rows = []
    for name, case in cases.items():
        medians = {variant.name: median(variant.seconds[name]) for variant in compared}
        cells = {
            title: f"{s:.2f}" + ("" if title == OURS else f" ({s / medians[OURS]:.0f}x)")
            for title, s in medians.items()
        }
        size = " x ".join(map(str, case.shape))
        rows.append({"case": name, "size": size, "boxes": str(case.boxes.count), **cells})
    return markdown(rows)


def write(folder: Path, cases: dict[str, Case], compared: Sequence[Variant]) -> None:
    """speed.md, speed.json and speed.png. Raises OSError where they cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "speed.md", (table(cases, compared) + "\n").encode())
    times = {variant.name: variant.seconds for variant in compared}
    content = {"machine": describe(None), "seconds": rounded(times)}
    write_atomic(folder / "speed.json", (json.dumps(content, indent=2) + "\n").encode())
    plot(folder / "speed.png", cases, compared)


def plot(path: Path, cases: dict[str, Case], compared: Sequence[Variant]) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.85 * len(cases)), layout="constrained")
    y: NDArray[np.float64] = np.arange(len(cases), dtype=float)
    for i, variant in enumerate(compared):
        medians = [median(variant.seconds[name]) for name in cases]
        bars = axes.barh(
            y + 0.2 * i, medians, 0.18, label=variant.name, color=("#9aa5b1", "#7fa7c9", "#3d78a8", "#d1495b")[i]
        )
        axes.bar_label(bars, [f"{s:.2f}" for s in medians], padding=3, fontsize=7)
    axes.set_yticks(y + 0.3, [f"{n}\n{' x '.join(map(str, c.shape))}, {c.boxes.count} boxes" for n, c in cases.items()])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("seconds a case (logarithmic)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
