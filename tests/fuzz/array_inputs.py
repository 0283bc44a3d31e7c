"""Cases of the challenge whose files are well and whose numbers are odd: shapes, dtypes, ranges, boxes, spacing."""

import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conftest import write_npz
from tests.fuzz import odd
from tests.fuzz.npz_inputs import beside_good
from tests.fuzz.trial import INPUTS, Trial

IMAGE_TYPES = ("u1", "u1", "u1", "i1", "u2", "i2", "i8", "u8", "f2", "f4", "f8", ">f4", ">i2", "?", "c8", "S1", "U1")
SIDES = (0, 1, 2, 3, 4, 7, 40, 60, 256, 257)
LONG_SIDES = (1000, 5000, 40_000)


def arrays(dice: random.Random, folder: Path) -> Trial:
    """A folder of ten cases, and two good ones that come last."""
    (folder / INPUTS).mkdir()
    names = []
    for i in range(10):
        is_volume = dice.random() < 0.4
        name = odd.file_name(dice, f"{'3D' if is_volume else '2D'}_{i}", ".npz")
        shape, imgs = image(dice, is_volume=is_volume)
        content: dict[str, NDArray[Any]] = {"imgs": imgs, "boxes": boxes(dice, shape)}
        if is_volume and dice.random() < 0.7:
            content["spacing"] = spacing(dice)
        write_npz(folder / INPUTS / name, **content)
        names.append(f"{INPUTS}/{name}")
    trial = beside_good(folder, names)
    if dice.random() < 0.3:
        trial.good = dict.fromkeys(trial.good, "")  # their masks are others, or may be
        trial.arguments += dice.choice((["--overlay", "out/pictures"], ["--zoom", "off"], ["--propagation", "follow"]))
    return trial


def image(dice: random.Random, *, is_volume: bool) -> tuple[tuple[int, ...], NDArray[Any]]:
    """Return the sides that a box can have, slowest first, and an image, mostly of the contract."""
    rank = 3 if is_volume else 2
    if dice.random() < 0.4:
        shape: tuple[int, ...] = (3, 40, 60)[-rank:]
    else:
        shape = tuple(dice.choice(SIDES if axis else SIDES[:6]) for axis in range(3)[-rank:])
        if dice.random() < 0.1:
            shape = (*(min(side, 4) for side in shape[:-1]), dice.choice(LONG_SIDES))
    full = shape + dice.choice(((), (), (3,), (1,), (4,), (2,)))
    kind = dice.choice(IMAGE_TYPES)
    rng = np.random.default_rng(dice.getrandbits(32))
    values = rng.random(full) * dice.choice((255, 255, 255, 1, 1e-300, 1e4))
    with np.errstate(all="ignore"):
        out = values.astype(kind)
    if out.dtype.kind == "f" and out.size and dice.random() < 0.3:
        out.flat[dice.randrange(out.size)] = dice.choice(odd.FLOATS) if out.dtype.itemsize == 8 else np.nan
    if dice.random() < 0.1:
        out = np.full_like(out, out.flat[0]) if out.size else out
    return shape, np.asfortranarray(out) if dice.random() < 0.1 else out


def boxes(dice: random.Random, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return (N, 4) or (N, 6), mostly on the image."""
    sides = shape[::-1]
    count = dice.choice((1, 1, 1, 2, 3, 0, 300))
    rows = []
    for _ in range(count):
        ends = [sorted((dice.uniform(-2, side + 1), dice.uniform(-2, side + 1))) for side in sides]
        row = [end[0] for end in ends] + [end[1] for end in ends]
        if dice.random() < 0.3:
            row[dice.randrange(len(row))] = float(odd.number(dice))
        rows.append(row)
    out = np.array(rows, np.float64).reshape(count, 2 * len(sides))
    what = dice.random()
    if what < 0.5:
        with np.errstate(all="ignore"):
            return out.astype(dice.choice(("i8", "i8", "i4", "f4", "f2", ">f8", "u2", "u8", "i1")))
    if what < 0.6:
        return dice.choice((out[None], out.T, out[:, :-1], out.ravel(), out[..., None], out.astype("S9"), out > 3))
    return out / (np.array([*sides, *sides]) + 1) if what < 0.65 else out


def spacing(dice: random.Random) -> NDArray[Any]:
    good_one = np.array([3.0, 1.0, 1.0])
    if dice.random() < 0.4:
        good_one[dice.randrange(3)] = float(odd.number(dice))
    if dice.random() < 0.2:
        many = np.full(dice.choice((1, 2, 4, 100_000)), 1.5)
        with np.errstate(all="ignore"):
            return dice.choice((good_one[None], many, good_one.astype("S5"), good_one.astype("c8"), np.array(1.0)))
    with np.errstate(all="ignore"):
        return good_one.astype(dice.choice(("f8", "f8", "f4", "f2", "i8", "u1", ">f8")))
