"""Which cases are trained on and which are held out: 4 to 1 (paper section 3.2), no group in both parts.

Slices of one patient are alike: validation on slices of patients that were trained on would be too optimistic.
Which cases belong together is stated by `groups.csv` in the folder (columns case, group), or by its shards.
Where there is none every file is taken to be a group of its own, which is right only if each is another patient.
"""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.case_files import dataset_of, modality_of
from repmedsam_train.data.stored_cases import find_training_cases, groups_in_shards

GROUPS = "groups.csv"
ONE_OF = 5  # groups is held out


def parts_of(cases: Path, val: Path | None, seed: int) -> tuple[list[Path], list[Path]]:
    """Cases to train on, cases to hold out: those of `val`, or without it a part of `cases`. Raises UsageError."""
    return split(cases, seed) if val is None else (find_training_cases(cases), find_training_cases(val))


def split(folder: Path, seed: int) -> tuple[list[Path], list[Path]]:
    """Cases to train on, cases to hold out: of every modality about a fifth of the groups, the same for the same seed.

    Raises:
        UsageError: there are no cases, `groups.csv` is not what it should be, or all cases are one group.

    """
    groups = groups_in_shards(folder) | read_groups(folder / GROUPS)
    members: defaultdict[str, list[Path]] = defaultdict(list)
    for path in find_training_cases(folder):
        members[groups.get(path.name, own_group(path))].append(path)
    if len(members) < 2:
        raise UsageError(f"all cases in {folder} are of one group and cannot be split; name held-out cases with --val")
    shuffled = np.random.default_rng(seed).permutation(sorted(members)).tolist()
    ordered = sorted(shuffled, key=lambda group: modality_of(min(path.name for path in members[group])))
    # Every fifth of a list that is ordered by modality; but one at least.
    held_out = set(ordered[ONE_OF // 2 :: ONE_OF] or ordered[-1:])
    parts: tuple[list[Path], list[Path]] = ([], [])
    for group in sorted(members):
        parts[group in held_out].extend(members[group])
    return parts


def own_group(path: Path) -> str:
    """Return the group of a case of which none is stated: itself."""
    return path.name.removesuffix(".npz")


def some_of_each_dataset(paths: Sequence[Path], most: int, seed: int) -> list[Path]:
    """Draw up to `most` cases of each data set (the names before their numbers), in order of name."""
    by_dataset: defaultdict[str, list[Path]] = defaultdict(list)
    for index in np.random.default_rng(seed).permutation(len(paths)):
        by_dataset[dataset_of(paths[index].name)].append(paths[index])
    return sorted(path for of_one in by_dataset.values() for path in of_one[:most])


def read_groups(path: Path) -> dict[str, str]:
    """Of each case (file name) its group, but of those whose cell is empty; empty where there is no such file.

    Raises:
        UsageError: it is no table of the columns case and group.

    """
    if not path.exists():
        return {}
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = set(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as a table: {error}") from error
    if not {"case", "group"} <= columns:
        raise UsageError(f"{path} has no columns case and group")
    stated = [row for row in rows if row["case"] and (row["group"] or "").strip()]
    return {f"{row['case'].removesuffix('.npz')}.npz": row["group"] for row in stated}
