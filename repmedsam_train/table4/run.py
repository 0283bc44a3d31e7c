"""Table 4 from the first step of training to the table: whatever is in the folder already is not done again."""

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from repmedsam_infer.errors import UsageError
from repmedsam_infer.evaluation.evaluate import BASELINES
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.io.case_files import find_cases
from repmedsam_train.comparison.medsam import MedSAM, segment_by_medsam
from repmedsam_train.data.split import some_of_each_dataset
from repmedsam_train.data.stored_cases import find_training_cases
from repmedsam_train.recipe import SEED
from repmedsam_train.run.gpu import allow_tf32
from repmedsam_train.run.processes import device_of, variable
from repmedsam_train.table4.networks import (
    Compared,
    OnDevice,
    frame_side,
    load_medsam,
    load_row,
    parameters,
    untrained_medsam,
)
from repmedsam_train.table4.plan import DISTILLED, MEDSAM, TRAINED, Show, described, plain_recipe, recipes
from repmedsam_train.table4.report import Result, Table, write
from repmedsam_train.table4.scoring import (
    MASKS,
    NETWORK,
    Scores,
    Segmenter,
    kept_scores,
    make_masks,
    score_masks,
    segmenter_of,
)
from repmedsam_train.table4.timing import ROUNDS, TIMES, Times, kept_times, machine_of, time_networks, write_times
from repmedsam_train.table4.training import STUDENT, train_rows
from repmedsam_train.weights.networks import on_device

MADE_WITH = "made_with.json"
TITLES = {"box": "the filled box", "ellipse": "the ellipse in the box"}


@dataclass(frozen=True)
class Job:
    """What to do.

    seconds: of training, for each row.
    size: pixels of the images that networks are trained on; they are evaluated in frames of 256 all the same.
    most: cases of each data set of `val` that are segmented.
    medsam: MedSAM's checkpoint, for its accuracy.
    config: TOML file of what to change about the recipe.
    """

    train: Path
    val: Path
    out: Path
    seconds: float
    size: int
    most: int
    device: str = "auto"
    medsam: Path | None = None
    config: Path | None = None
    rounds: int = ROUNDS


def table4(job: Job, show: Show) -> Table:
    """Train, segment, score and time, as far as that was not done; writes table4.md, .csv and .json.

    Raises:
        UsageError: a folder holds no cases, `out` is of another table, or an option does not fit.
        CaseReadError, CaseWriteError: a case cannot be read, or its masks cannot be written.

    """
    if variable("WORLD_SIZE", 1) > 1:
        raise UsageError("table4 is for one process: start it without torchrun")
    device = device_of(job.device)
    by_key = recipes(plain_recipe(job.size, device, job.config), job.seconds)
    made_with = described(job.train, job.val, by_key)
    cases = some_of_each_dataset(find_cases(job.val), job.most, SEED)
    find_training_cases(job.train)
    if job.medsam is not None:
        load_medsam(job.medsam)  # refused now, not in an hour
    claim(job.out, made_with)
    weights = train_rows(job.train, job.val, job.out, by_key, job.device, show)
    allow_tf32(allowed=False)  # whatever was trained in this process before: masks and times are of fp32
    networks: dict[str, Compared] = {key: load_row(path, by_key[key]) for key, path in weights.items()}
    networks[MEDSAM.key] = untrained_medsam() if job.medsam is None else load_medsam(job.medsam)
    times = times_of(networks, job, device, show)
    scores: dict[str, Scores] = {}
    for key, network in networks.items():
        folder = job.out / key
        if key == MEDSAM.key:
            if job.medsam is None:
                continue
            folder = folder_of_checkpoint(job.out, job.medsam)
        kept = kept_scores(folder, cases)
        if kept is None:
            make_masks(cases, folder / MASKS, segmenter(network, device), show)
            show(f"{key}: scoring")
            kept = score_masks(cases, folder, baselines=key == TRAINED[0].key)
        scores.update({key if method == NETWORK else method: one for method, one in kept.items()})
    results = [result(row.key, row.title, networks[row.key], times, scores, job.out) for row in (*TRAINED, MEDSAM)]
    results += [Result(kind, TITLES[kind], scores=scores[kind]) for kind in BASELINES]
    table = Table(results, made_with, len(cases), machine_of(device))
    try:
        write(job.out, table)
    except OSError as error:
        raise UsageError(f"{job.out} cannot be written ({error.strerror})") from error
    return table


def claim(out: Path, made_with: dict[str, Any]) -> None:
    """Make the folder, or see that what is in it was made with the same data and recipes.

    Raises:
        UsageError: it was not, or the folder cannot be written.

    """
    path = out / MADE_WITH
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_atomic(path, (json.dumps(made_with, indent=2) + "\n").encode())
            return
        before = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{out} cannot be used ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged: remove it, if the folder is of the same data and options") from error
    if before != made_with:
        odd = sorted(name for name in made_with if not isinstance(before, dict) or before.get(name) != made_with[name])
        raise UsageError(f"{out} holds a table of other data or options ({', '.join(odd)}); name another --out")


def folder_of_checkpoint(out: Path, checkpoint: Path) -> Path:
    """Return where the masks of MedSAM go: those of another checkpoint, by its bytes, are kept apart."""
    with checkpoint.open("rb") as file:
        return out / f"{MEDSAM.key}-{hashlib.file_digest(file, 'sha256').hexdigest()[:8]}"


def segmenter(network: Compared, device: torch.device) -> Segmenter:
    if isinstance(network, MedSAM):
        there = on_device(network, device)
        return lambda case: segment_by_medsam(case, there, device)
    return segmenter_of(OnDevice(network, device))


def times_of(networks: dict[str, Compared], job: Job, device: torch.device, show: Show) -> dict[str, Times]:
    machine = machine_of(device)
    kept = kept_times(job.out / TIMES, machine, set(networks))
    if kept is None:
        show("timing all networks")
        kept = time_networks(networks, device, job.rounds)
        write_times(job.out / TIMES, machine, kept)
    return kept


def result(
    key: str, title: str, network: Compared, times: dict[str, Times], scores: dict[str, Scores], out: Path
) -> Result:
    trainings = [STUDENT, key] if key == DISTILLED.key else [] if key == MEDSAM.key else [key]
    known = all((out / training / "log.csv").exists() for training in trainings)  # the student's folder may be gone
    steps = tuple(steps_of(out / training) for training in trainings) if known else ()
    return Result(
        key,
        title,
        frame_side(network),
        parameters(network.image_encoder),
        parameters(network),
        steps,
        times[key],
        scores.get(key),
    )


def steps_of(folder: Path) -> int:
    """Return how many steps a training took, as its log has it."""
    with (folder / "log.csv").open(newline="") as file:
        return max((int(row["step"]) for row in csv.DictReader(file)), default=0)
