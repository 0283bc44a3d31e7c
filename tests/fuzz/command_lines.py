"""Command lines that are odd: options, numbers, and paths that are too long, missing, or of the wrong kind."""

import itertools
import os
import random
from pathlib import Path

import numpy as np

from tests.fuzz import good, odd
from tests.fuzz.trial import OUTPUTS, Trial

COMMANDS = ("segment", "segment", "segment", "predict", "predict", "convert", "evaluate", "report", "info", "nonsense")
PLACES = (
    "in",
    "in/picture.png",
    "in/ct.nii",
    "in/case",
    "in/series",
    "missing",
    "missing/deep/er",
    "fifo",
    "link",
    "empty",
)
ENDINGS = ("", ".png", ".nii.gz", ".nrrd", ".mha", ".dcm", ".npz", ".jpg", ".xyz", "/", ".json")
CHOICES = {
    "--zoom": ("auto", "off", "full"),
    "--propagation": ("ellipsoid", "follow"),
    "--precision": ("auto", "fp32", "int8", "bf16", "fp8"),
    "--engine": ("openvino", "onnx"),
    "--window": ("abdomen", "40,400", "0,0", "nan,nan", "inf,1", "1e308,1e308", "percentiles", "40,-400", "40", ",,"),
    "--modality": ("CT", "MR", "ct", "PET"),
    "--threads": ("1", "0", "-1", "99999999999999999999", "1.5"),
    "--format": ("nrrd", ".nii.gz", "dcm", "..", "x/y", ".NII"),
    "--series": ("3", "1.2.3"),
}


def command_lines(dice: random.Random, folder: Path) -> Trial:
    """One command line on a folder that has a little of everything."""
    furnish(folder)
    command = dice.choice(COMMANDS)
    arguments = [command]
    if command in ("segment", "convert"):
        arguments += [place(dice) for _ in range(dice.choice((1, 1, 1, 2, 0)))]
        for _ in range(dice.choice((1, 1, 1, 0, 2))):
            arguments += dice.choice((["--box", box(dice)], ["--boxes", place(dice)], ["--boxes-from", place(dice)]))
        ending = dice.choice(ENDINGS)  # what goes beside a file lies in the folder of outputs, too
        output = f"{OUTPUTS}/{dice.choice(('x', 'new/x'))}{ending}" if ending.strip("/") else OUTPUTS + ending
        arguments += ["-o", output if dice.random() < 0.8 else odd_output(dice)]
    elif command == "predict":
        arguments += [
            "-i",
            dice.choice(("cases", place(dice))),
            "-o",
            OUTPUTS if dice.random() < 0.7 else odd_output(dice),
        ]
        arguments += dice.choice(([], ["--resume"], ["--overwrite"], ["--resume", "--overwrite"], ["--jobs", "2"]))
    elif command in ("evaluate", "report"):
        arguments += ["-s", place(dice), "-g" if command == "evaluate" else "-i", place(dice), "-o", f"{OUTPUTS}/o.x"]
    for option in dice.sample(list(CHOICES), dice.choice((0, 0, 1, 2))):
        arguments += [option, dice.choice((dice.choice(CHOICES[option]), _text(dice)))]
    if dice.random() < 0.1:
        arguments.insert(dice.randrange(len(arguments) + 1), dice.choice((_text(dice), "--", "-", "-h", "--nonsense")))
    return Trial(
        folder, arguments, writable=(OUTPUTS, *_outputs(arguments)), codes=frozenset({0, 1, 2, 3}), reported=False
    )


def furnish(folder: Path) -> None:
    for name in ("in/series", "in/case", "cases", "empty"):
        (folder / name).mkdir(parents=True)
    (folder / "in/picture.png").write_bytes(good.picture(".png"))
    good.nifti(folder / "in/ct.nii")
    labels = np.zeros((3, 40, 60), np.uint8)
    labels[:, 8:33, 18:43] = 1
    good.nifti(folder / "in/labels.nii.gz", labels)
    (folder / "in/boxes.json").write_text(f"[{good.BOX_2D}]")
    (folder / "cases/2D_a.npz").write_bytes(good.npz(gts=True))
    (folder / "cases/3D_b.npz").write_bytes(good.npz(is_volume=True, gts=True))
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to("nowhere")


def place(dice: random.Random) -> str:
    if dice.random() < 0.15:
        return odd_path(dice)
    return dice.choice(
        (*PLACES, *["in/picture.png", "in/ct.nii"] * 4, "in/boxes.json", "in/labels.nii.gz", "cases", "in/..")
    )


def odd_path(dice: random.Random) -> str:
    """Return a path to read."""
    return dice.choice(("/", "/dev/null", "/dev/zero", "/proc/self/mem", "in/" + _text(dice), odd_output(dice)))


def odd_output(dice: random.Random) -> str:
    """Return a path to write, in the folder: whoever runs this may be able to write everywhere."""
    return dice.choice(
        (
            *("x" * 256, "x/" * 2500, "", ".", "out/\x1b[31m.png", "out/a\nb.nii.gz", "in/picture.png/x", "fifo"),
            *("out/\udcff.png", "~", "out/" + "é" * 130, "out/%s.png", "link", "link/x", "in/ct.nii", "cases"),
        )
    )


def box(dice: random.Random) -> str:
    numbers = list(good.BOX_2D if dice.random() < 0.5 else good.BOX_3D)
    if dice.random() < 0.6:
        numbers[dice.randrange(len(numbers))] = odd.number(dice)
    text = ",".join(map(str, numbers))
    if dice.random() < 0.3:
        text = dice.choice(
            (text.replace(",", " "), text + ",", text + "@1", text + "@nan", text + "@", "@" + text, _text(dice))
        )
    return text


def _text(dice: random.Random) -> str:
    """Return a text that a command line can hold: bytes without NUL."""
    raw = odd.text(dice).replace("\0", "").replace("\ud800", "\udced")
    return os.fsdecode(raw.encode("utf-8", "surrogateescape"))


def _outputs(arguments: list[str]) -> list[str]:
    return [value for option, value in itertools.pairwise(arguments) if option == "-o"]
