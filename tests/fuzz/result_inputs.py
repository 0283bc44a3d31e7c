"""What a run left behind, changed: report.json, efficiency.csv, segmentations and ground truth."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import write_npz
from tests.fuzz import good, odd
from tests.fuzz.trial import OUTPUTS, Trial

CASES = ("2D_CT_a.npz", "3D_MR_b.npz", "2D_c.npz")
CASE_REPORT: dict[str, Any] = {
    "case": "",
    "status": "ok",
    "seconds": 0.5,
    "stages": {"read": 0.1, "encode": 0.2},
    "encodings": 1,
    "boxes": 1,
    "labels": 1,
    "objects": [{"label": 1, "name": "liver", "box": [1, 2, 3, 4], "confidence": 0.9}],
    "warnings": ["odd"],
    "error": None,
}


def results(dice: random.Random, folder: Path) -> Trial:
    """`report`, `evaluate` or `convert --like` of a run's folder that was changed."""
    for name in ("cases", "segs"):
        (folder / name).mkdir()
    for case in CASES:
        is_volume = case.startswith("3D")
        (folder / "cases" / case).write_bytes(good.npz(is_volume=is_volume, gts=True))
        write_npz(folder / "segs" / case, segs=labels(dice, is_volume=is_volume))
        for part in ("cases", "segs"):
            if dice.random() < 0.15:
                path = folder / part / case
                path.write_bytes(odd.damaged(dice, path.read_bytes()))
    content: Any = {"repmedsam": "1", "counts": {"ok": 3}, "cases": [{**CASE_REPORT, "case": case} for case in CASES]}
    content |= {
        "engine": {"name": "openvino", "precision": {"pictures": "bf16"}},
        "threads": 2,
        "started": "2024-01-01",
    }
    for _ in range(dice.choice((0, 1, 1, 2, 3))):
        content = odd.changed(dice, content)
    raw = json.dumps(content, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
    (folder / "segs" / "report.json").write_bytes(odd.damaged(dice, raw) if dice.random() < 0.1 else raw)
    rows = "case,time\n" + "".join(
        f"{case},{dice.choice(('0.5', odd.number(dice), odd.text(dice)))}\n" for case in CASES
    )
    (folder / "segs" / "efficiency.csv").write_bytes(rows.encode("utf-8", "surrogatepass"))
    return Trial(folder, command(dice, folder), codes=frozenset({0, 1, 2}), reported=False)


def command(dice: random.Random, folder: Path) -> list[str]:
    (folder / OUTPUTS).mkdir()
    what = dice.random()
    if what < 0.5:
        truth = ["-g", "cases"] if dice.random() < 0.5 else []
        return ["report", "-s", "segs", "-i", "cases", "-o", f"{OUTPUTS}/page.html", *truth]
    if what < 0.8:
        options = [o for o in ("--challenge", "--baselines", "--sizes", "--confidence") if dice.random() < 0.4]
        return ["evaluate", "-s", "segs", "-g", "cases", *options, "-o", f"{OUTPUTS}/scores.csv"]
    good.nifti(folder / "ct.nii")
    case = dice.choice(CASES)
    ending = dice.choice((".nii.gz", ".nrrd", ".npz", ".png", ".x"))
    return ["convert", f"segs/{case}", "--like", "ct.nii", "-o", f"{OUTPUTS}/back{ending}"]


def labels(dice: random.Random, *, is_volume: bool) -> np.ndarray[tuple[int, ...], np.dtype[Any]]:
    """Return a segmentation, often of odd labels, dtype or shape."""
    shape = dice.choice(((3, 40, 60), (40, 60))) if dice.random() < 0.1 else (3, 40, 60) if is_volume else (40, 60)
    out = np.zeros(shape, np.float64)
    out[..., 8:33, 18:43] = 1
    if dice.random() < 0.4:
        out[..., dice.randrange(40), :] = float(odd.number(dice))
    with np.errstate(all="ignore"):
        return out.astype(dice.choice(("u1", "u1", "u2", "i4", "i8", "f4", "?", "u8")))
