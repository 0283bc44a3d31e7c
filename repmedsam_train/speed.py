"""The paper's table 5: the same cases segmented in the baseline's way, in the paper's ways, and in ours, in turn.

The others' networks have random weights and run in torch, as they were published. As there, every box of a volume has
its slices encoded anew, and a picture is encoded once. In what does not tell them apart they do as ours: in how slices
are prompted, and in decoding boxes in batches.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from repmedsam_infer.atomic import write_atomic
from repmedsam_infer.boxes import Boxes
from repmedsam_infer.case import Case, Segmentation, read_case, write_segmentation
from repmedsam_infer.engines import Engine, load_engine
from repmedsam_infer.engines.torch import TorchEngine
from repmedsam_infer.info import describe
from repmedsam_infer.markdown import markdown
from repmedsam_infer.network import RepMedSAM, reparameterize
from repmedsam_infer.network.repmedsam import Grid
from repmedsam_infer.overlap import bottom_to_top
from repmedsam_infer.report import rounded
from repmedsam_infer.segment import segment
from repmedsam_infer.stopwatch import Stopwatch
from repmedsam_infer.weights import Weights
from repmedsam_train.litemedsam import LiteMedSAM

BASELINE, UNFUSED, PAPER, OURS = "LiteMedSAM", "not re-parameterized", "as published", "ours"
PAPER_GRID: Grid = 64
COLOURS = {BASELINE: "#9aa5b1", UNFUSED: "#7fa7c9", PAPER: "#3d78a8", OURS: "#d1495b"}


@dataclass
class Way:
    """How a case is done, by which engines pictures and volumes, and the seconds that it took, a list a case."""

    name: str
    engines: tuple[Engine, Engine]
    box_by_box: bool
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def do(self, case: Case) -> Segmentation:
        engine = self.engines[case.is_volume]
        if not (self.box_by_box and case.is_volume):
            return segment(case, engine, Stopwatch())
        segs = case.empty_segmentation()
        for i in bottom_to_top(case.boxes.corners).tolist():
            alone = segment(with_boxes(case, slice(i, i + 1)), engine, Stopwatch())
            np.copyto(segs, alone, where=alone > 0)
        return segs


def ways(weights: Weights, threads: int) -> list[Way]:
    """The baseline's, the paper's two, and ours."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = RepMedSAM(PAPER_GRID)

    def in_torch(name: str, module: nn.Module) -> Way:
        engine = TorchEngine(cast(Any, module.eval().to(memory_format=torch.channels_last)))  # type: ignore[call-overload]
        return Way(name, (engine, engine), box_by_box=True)

    ours = tuple(load_engine("openvino", weights, threads, volumes=volumes) for volumes in (False, True))
    return [
        in_torch(BASELINE, LiteMedSAM()),
        in_torch(UNFUSED, network),
        in_torch(PAPER, reparameterize(network)),
        Way(OURS, (ours[0], ours[1]), box_by_box=False),
    ]


def compare_speed(
    paths: Sequence[Path], all_ways: Sequence[Way], rounds: int, depth: int, scratch: Path, tell: Callable[[str], None]
) -> dict[str, Case]:
    """Do every case in every way, `rounds` times, volumes cut to their middle `depth` slices; put down the seconds.

    Returns:
        The cases as they were done, by name.

    Raises:
        CaseReadError: a case cannot be read.

    """
    cases = {path.stem: cut(read_case(path), depth) for path in paths}
    for name, case in cases.items():
        for turn in range(rounds):
            for way in all_ways:
                if turn == 0:
                    segment(first_box(case), way.engines[case.is_volume], Stopwatch())  # buffers are made
                start = time.perf_counter()
                segs = way.do(case)
                write_segmentation(scratch / f"{name}.npz", segs)
                way.seconds.setdefault(name, []).append(time.perf_counter() - start)
                tell(f"{name} {way.name}: {way.seconds[name][-1]:.2f} s")
    return cases


def cut(case: Case, depth: int) -> Case:
    """A volume's middle `depth` slices, its boxes with them."""
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


def table(cases: dict[str, Case], all_ways: Sequence[Way]) -> str:
    """Median seconds, and how many times as long as ours the others take."""
    rows = []
    for name, case in cases.items():
        medians = {way.name: median(way.seconds[name]) for way in all_ways}
        cells = {
            way: f"{s:.2f}" + ("" if way == OURS else f" ({s / medians[OURS]:.0f}x)") for way, s in medians.items()
        }
        size = " x ".join(map(str, case.shape))
        rows.append({"case": name, "size": size, "boxes": str(case.boxes.count), **cells})
    return markdown(rows)


def write(folder: Path, cases: dict[str, Case], all_ways: Sequence[Way]) -> None:
    """speed.md, speed.json and speed.png. Raises OSError where they cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "speed.md", (table(cases, all_ways) + "\n").encode())
    times = {way.name: way.seconds for way in all_ways}
    content = {"machine": describe(None), "seconds": rounded(times)}
    write_atomic(folder / "speed.json", (json.dumps(content, indent=2) + "\n").encode())
    plot(folder / "speed.png", cases, all_ways)


def plot(path: Path, cases: dict[str, Case], all_ways: Sequence[Way]) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.85 * len(cases)), layout="constrained")
    y: NDArray[np.float64] = np.arange(len(cases), dtype=float)
    for i, way in enumerate(all_ways):
        medians = [median(way.seconds[name]) for name in cases]
        bars = axes.barh(
            y + 0.2 * i, medians, 0.18, label=way.name, color=("#9aa5b1", "#7fa7c9", "#3d78a8", "#d1495b")[i]
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
