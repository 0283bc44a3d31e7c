"""Files of boxes: JSON and CSV that are odd, and label maps to take boxes from."""

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import good, odd
from tests.fuzz.trial import INPUTS, OUTPUTS, Trial

COLUMNS = ("case", "x_min", "y_min", "z_min", "x_max", "y_max", "z_max", "name", "space", "slice")
TRUE_JSON: dict[str, Any] = {
    "cases": {
        "picture": {"space": "pixel", "boxes": [{"box": good.BOX_2D, "name": "lesion"}, good.BOX_2D]},
        "ct": [
            {"box": good.BOX_3D, "name": "liver"},
            {"box": good.BOX_2D, "slice": 1, "name": "cyst"},
            {"box": [18, 8, 1, 42, 32, 1], "follow": True},
        ],
    }
}


def boxes(dice: random.Random, folder: Path) -> Trial:
    """`segment` of a picture and a volume with a hostile file of boxes."""
    inputs = folder / INPUTS
    inputs.mkdir()
    (inputs / "picture.png").write_bytes(good.picture(".png"))
    good.nifti(inputs / "ct.nii")
    ending = dice.choice((".json", ".json", ".csv", ".csv", ".txt", ".JSON", "", ".npy"))
    name = odd.file_name(dice, "boxes", ending)
    raw = json_file(dice) if ending.lower() == ".json" else csv_file(dice) if ending == ".csv" else dice.randbytes(99)
    if dice.random() < 0.15:
        raw = odd.damaged(dice, raw)
    (inputs / name).write_bytes(raw)
    images = dice.choice(
        ([f"{INPUTS}/picture.png", f"{INPUTS}/ct.nii"], [f"{INPUTS}/picture.png"], [f"{INPUTS}/ct.nii"])
    )
    arguments = ["segment", *images, "--boxes", f"{INPUTS}/{name}", "-o", OUTPUTS, "--format", "nrrd"]
    return Trial(folder, arguments, codes=frozenset({0, 1, 2}))


def json_file(dice: random.Random) -> bytes:
    what = dice.random()
    if what < 0.04:
        depth = dice.choice((500, 5_000, 100_000))
        raw = dice.choice(("[" * depth + "]" * depth, '{"boxes":' * depth + "1" + "}" * depth))
        return raw.encode()
    if what < 0.07:
        return json.dumps({"boxes": [good.BOX_2D] * dice.choice((2, 255, 256, 300, 70_000))}).encode()
    if what < 0.1:
        number = dice.choice(("9" * 5000, "1e999", "-1e999", "NaN", "Infinity", "1E400", "0x10", "01", "1_0"))
        return f'{{"boxes": [[18, 8, {number}, 32]]}}'.encode()
    content: Any = TRUE_JSON if dice.random() < 0.8 else TRUE_JSON["cases"][dice.choice(("picture", "ct"))]
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
        content = odd.changed(dice, content)
    if dice.random() < 0.3:
        raw = json.dumps(content)
        return raw.encode(dice.choice(("utf-8", "utf-8-sig", "utf-16", "utf-32")))
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


def csv_file(dice: random.Random) -> bytes:
    rows: list[list[Any]] = [list(COLUMNS)]
    for _ in range(dice.choice((1, 1, 2, 300))):
        of_picture = dice.random() < 0.5
        box = good.BOX_2D if of_picture else good.BOX_3D
        row: dict[str, Any] = dict(zip(COLUMNS[1:7], [*box[:2], "", *box[2:], ""] if of_picture else box, strict=True))
        row |= {"case": "picture" if of_picture else "ct.nii", "name": "a", "space": "pixel", "slice": ""}
        if dice.random() < 0.5:
            row[dice.choice(COLUMNS)] = dice.choice((odd.text(dice), odd.number(dice)))
        rows.append([row[column] for column in COLUMNS])
    if dice.random() < 0.2:
        rows[0][dice.randrange(len(COLUMNS))] = odd.text(dice)
    if dice.random() < 0.1:
        rows[dice.randrange(len(rows))].append("more")
    if dice.random() < 0.2:
        gone = dice.randrange(len(COLUMNS))
        rows = [row[:gone] + row[gone + 1 :] for row in rows]
    buffer = io.StringIO()
    delimiter = dice.choice((",", ",", ",", ";", "\t"))
    writer = csv.writer(buffer, delimiter=delimiter, quoting=dice.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)))
    writer.writerows(rows)
    return buffer.getvalue().encode(dice.choice(("utf-8", "utf-8-sig", "utf-16")), "surrogatepass")


def label_maps(dice: random.Random, folder: Path) -> Trial:
    """Boxes from a label map that has odd labels, or is damaged."""
    inputs = folder / INPUTS
    inputs.mkdir()
    good.nifti(inputs / "ct.nii")
    shape = dice.choice(((3, 40, 60), (3, 40, 60), (3, 60, 40), (1, 40, 60), (40, 60, 3), (2, 20, 30)))
    labels = np.zeros(shape, dice.choice(("u1", "i2", "u2", "i4", "f4", "f8")))
    for _ in range(dice.randint(0, 5)):
        where = tuple(slice(dice.randrange(side), side - dice.randrange(side)) for side in shape)
        with np.errstate(all="ignore"):
            labels[where] = np.array(odd.number(dice), np.float64).astype(labels.dtype)
    ending = dice.choice((".nii", ".nii.gz", ".nrrd", ".mha"))
    path = inputs / f"labels{ending}"
    raw = good.nifti(path, labels) if ending.startswith(".nii") else good.by_simpleitk(path, labels)
    if dice.random() < 0.5:
        path.write_bytes(odd.damaged(dice, raw))
    command = dice.choice(("segment", "convert"))
    arguments = [command, f"{INPUTS}/ct.nii", "--boxes-from", f"{INPUTS}/{path.name}", "-o", OUTPUTS]
    return Trial(folder, arguments, codes=frozenset({0, 1, 2}), reported=command == "segment")
