"""The folders of a small run, for tests of its page: what `predict` read and what it wrote."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conftest import good_box, good_image, write_npz

EVIL = "<img src=x onerror=alert(1)>"
EVIL_MESSAGE = "</script><script>document.title='owned'</script><style>*{display:none}</style>\u202e\ud800&amp;\"'"


@dataclass
class RunFolders:
    root: Path
    cases: Path
    segs: Path

    def report(self, **content: object) -> None:
        (self.segs / "report.json").write_text(json.dumps(content))


def make_run(folder: Path) -> RunFolders:
    """Three pictures and a volume, well segmented, badly, not at all, and one whose case is broken."""
    run = RunFolders(folder, folder / "cases", folder / "segs")
    run.cases.mkdir()
    run.segs.mkdir()
    disc = np.hypot(*(np.mgrid[:40, :60] - [[[20]], [[30]]])) < 10
    add(run, "2DBox_US_good.npz", disc, disc)
    add(run, "2DBox_US_bad.npz", disc, np.roll(disc, 9, 1))
    add(run, f"2DBox_CT_{EVIL}.npz", disc, np.zeros_like(disc))
    ball = np.linalg.norm(np.mgrid[:12, :40, :60] - np.array([6, 20, 30]).reshape(3, 1, 1, 1), axis=0) < 5
    write_npz(
        run.cases / "3DBox_MR_ball.npz", imgs=ball.astype(np.uint8) * 99, gts=ball.astype(np.uint8),
        boxes=np.array([[25, 15, 1, 35, 25, 11]]), spacing=np.array([2.0, 1.0, 1.0]),
    )  # fmt: skip
    write_npz(run.segs / "3DBox_MR_ball.npz", segs=ball.astype(np.uint8))
    cases = [
        reported("2DBox_US_good.npz", seconds=0.5, stages={"encode": 0.3, "decode": 0.1}),
        reported("2DBox_US_bad.npz", seconds=0.25, warnings=[EVIL_MESSAGE, *(f"box {i} is odd" for i in range(5))]),
        reported(f"2DBox_CT_{EVIL}.npz", seconds=0.1),
        reported("2DBox_CT_broken.npz", status="failed", error=f"2DBox_CT_broken.npz: {EVIL_MESSAGE}"),
        reported("3DBox_MR_ball.npz", seconds=2.0),
    ]
    engine = {"name": "openvino", "version": "2026", "precision": {"pictures": "int8"}}
    run.report(repmedsam="9.8.7", processor=f"Abacus {EVIL}", engine=engine, threads=2, cases=cases)
    return run


def add(run: RunFolders, name: str, gt: NDArray[np.bool_], seg: NDArray[np.bool_]) -> None:
    write_npz(run.cases / name, imgs=good_image(), gts=gt.astype(np.uint8), boxes=good_box())
    write_npz(run.segs / name, segs=seg.astype(np.uint8))


def reported(name: str, **content: object) -> dict[str, Any]:
    return {"case": name, "status": "ok", "seconds": 1.0, "stages": {}, "warnings": [], "error": None, **content}
