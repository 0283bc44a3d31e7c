"""Measure what docs/finetuning.md promises: cases of one data set, taken for one's own, before and after fine-tuning.

    python -m tests.own_data data/val XRay_ufba425b --more seconds=600 --out own

20 cases become pictures, or volumes in NIfTI, with label maps and a manifest, as people have them; from there on only
the commands of the document are run: cases, finetune, export, predict. 14 cases are trained on (of which the run holds
some out to choose its best weights), 6 are judged. None of their groups is in both parts.
"""

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np

from repmedsam_infer.engines.weights import STORE, find_weights
from repmedsam_infer.evaluation.evaluate import CaseScore, evaluate
from repmedsam_infer.io.case_files import find_cases, is_volume_name, modality_of
from repmedsam_train.data.split import GROUPS, read_groups

TRAINED_ON, JUDGED = 14, 6


def chosen(cases: Path, dataset: str, seed: int = 0) -> dict[str, list[Path]]:
    """Cases of train and val, drawn; each of another group. Raise SystemExit where there are not enough."""
    groups = read_groups(cases / GROUPS)
    of_group = {groups.get(path.name, path.name): path for path in find_cases(cases) if f"_{dataset}_" in path.name}
    paths = np.random.default_rng(seed).permutation(sorted(of_group.values())).tolist()[: TRAINED_ON + JUDGED]
    if len(paths) < TRAINED_ON + JUDGED:
        raise SystemExit(f"{cases} has {len(paths)} cases of {dataset} of different groups; 20 are needed")
    return {"train": sorted(paths[:TRAINED_ON]), "val": sorted(paths[TRAINED_ON:])}


def write_as_people_have_them(parts: dict[str, list[Path]], folder: Path) -> Path:
    """Write images/, labels/ and their manifest into a folder; returns the manifest."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    rows = []
    for part, paths in parts.items():
        for path in paths:
            image, labels = write_pair(path, folder)
            rows.append((f"images/{image}", f"labels/{labels}", path.stem, part, modality_of(path.name)))
    manifest = folder / "own.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "labels", "group", "part", "modality"), *rows])
    return manifest


def write_pair(path: Path, folder: Path) -> tuple[str, str]:
    """Write image and label map of a case; returns the names of their files."""
    with np.load(path) as arrays:
        imgs, gts = arrays["imgs"], arrays["gts"]
        spacing = arrays["spacing"] if "spacing" in arrays else np.ones(3)
    name = path.stem.rsplit("_", 1)[1]
    if is_volume_name(path.name):
        affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
        for kind, voxels in (("images", imgs), ("labels", gts)):
            nib.save(nib.Nifti1Image(voxels.T, affine), folder / kind / f"{name}.nii.gz")
        return f"{name}.nii.gz", f"{name}.nii.gz"
    cv2.imwrite(str(folder / "images" / f"{name}.png"), imgs[..., ::-1])
    cv2.imwrite(str(folder / "labels" / f"{name}_mask.png"), gts)
    return f"{name}.png", f"{name}_mask.png"


def check_unchanged(parts: dict[str, list[Path]], made: Path) -> None:
    """Check that images and labels of the cases that were made are those that were exported, voxel by voxel."""
    for part, paths in parts.items():
        for path in paths:
            (again,) = (made / part).glob(f"*_{path.stem.rsplit('_', 1)[1]}.npz")
            with np.load(path) as before, np.load(again) as after:
                for key in ("imgs", "gts", "boxes"):
                    np.testing.assert_array_equal(after[key], before[key])


def run(module: str, *arguments: object) -> None:
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=True)


def rows_of(before: Sequence[CaseScore], after: Sequence[CaseScore]) -> list[str]:
    """Return lines of a Markdown table: each case, and the mean."""
    lines = [
        "| case | objects | DSC before | DSC after | NSD before | NSD after |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    numbers = [
        (one.score.dsc, other.score.dsc, one.score.nsd, other.score.nsd)
        for one, other in zip(before, after, strict=True)
    ]
    for case, row in zip(before, numbers, strict=True):
        lines.append(f"| {case.case} | {case.labels} | {' | '.join(f'{number:.4f}' for number in row)} |")
    means = " | ".join(f"{number:.4f}" for number in np.mean(numbers, 0))
    return [*lines, f"| mean | {sum(case.labels for case in before)} | {means} |"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, help="folder of npz cases")
    parser.add_argument("dataset", nargs="?", default="XRay_ufba425b", help="modality and data set, as in their names")
    parser.add_argument("--out", type=Path, default=Path("own"))
    parser.add_argument("--more", nargs="*", default=[], help="options of finetune, without their dashes: seconds=600")
    given = parser.parse_args()
    parts = chosen(given.cases, given.dataset)
    manifest = write_as_people_have_them(parts, given.out / "data")
    weights, made, trained, new = find_weights(), given.out / "my", given.out / "run", given.out / "weights"
    run("repmedsam_train", "cases", manifest, "-o", made)
    check_unchanged(parts, made)
    more = [word for option in given.more for word in f"--{option}".split("=", 1)]
    initial = weights.folder / STORE
    run("repmedsam_train", "finetune", "--train", made / "train", "--initial", initial, "--recipe", "own-data",
        "--out", trained, *more)  # fmt: skip
    run("repmedsam_train", "export", trained / "model.safetensors", new, "--like", weights.folder)
    scores = []
    for name, folder in (("before", weights.folder), ("after", new)):
        segs = given.out / "segs" / name
        run("repmedsam_infer", "predict", "-i", made / "val", "-o", segs, "--weights", folder, "--overwrite")
        scores.append(list(evaluate(segs, made / "val", challenge=False, baselines=False)))
    sys.stdout.write("\n".join([*rows_of(*scores), ""]))


if __name__ == "__main__":
    main()
