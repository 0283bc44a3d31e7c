"""What table 4 compares: its rows, and the one recipe that all of them are trained by.

The recipe is `scratch` up to the size that is asked for, with less of what takes time on the way, so that a network
learns from nothing in minutes: the paper's own rates and batches are for days. Rows differ in their networks alone; the
distilled one splits its seconds between the paper's two stages as the paper splits its epochs, 10 to 30.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch

from repmedsam_infer.errors import UsageError
from repmedsam_infer.network.repmedsam import Grid
from repmedsam_train.recipe import Phase, Recipe, changed

SIZES = (128, 192, 256)  # pixels, of the images that networks are trained on
BATCHES = {
    "cpu": 8,
    "cuda": 32,
}  # images a step: LiteMedSAM's encoder takes a gigabyte of a GPU for each, at 256 pixels
BOXES = 4  # an image: on a grid of 32 decoding them takes as long as encoding it
PUBLISHED_GRID: Grid = 64  # of RepMedSAM, in frames of 256 pixels
CELL = 4  # pixels of an image that a place of LiteMedSAM's grid covers, and of that grid in such frames
DISTILLING, FINE_TUNING = 10, 30  # the paper's epochs
VALIDATED = 8  # slices, to see that a network learns; it takes of its seconds
OF_ROWS = ("network", "grid", "focus", "seconds")  # what a TOML file cannot change


Show = Callable[[str], None]  # says how far it is


@dataclass(frozen=True)
class Row:
    """One network. key: the name of its folder."""

    key: str
    title: str


LITEMEDSAM = Row("litemedsam", "LiteMedSAM's architecture, from scratch")
SCRATCH = Row("scratch", "RepMedSAM as published, from scratch")
DISTILLED = Row("distilled", "RepMedSAM as published, distilled from that LiteMedSAM, then fine-tuned")
FOCUS = Row("focus", "RepMedSAM with an ROI decoder (ours), from scratch")
MEDSAM = Row("medsam", "MedSAM")
TRAINED = (LITEMEDSAM, SCRATCH, DISTILLED, FOCUS)


def plain_recipe(size: int, device: torch.device, config: Path | None = None) -> Recipe:
    """Return the recipe of all rows, with the changes of a TOML file.

    Raises:
        UsageError: `size` is none of SIZES, the file cannot be read, or it changes what rows differ in.

    """
    if size not in SIZES:
        raise UsageError(f"--size {size}: choose one of {', '.join(map(str, SIZES))}")
    scratch = Recipe()
    batch = BATCHES.get(device.type, BATCHES["cpu"])
    phases = tuple(Phase(p.size, p.steps, batch, p.drawn) for p in scratch.phases if p.size <= size)
    recipe = replace(scratch, phases=phases, boxes_per_image=BOXES, validation_samples=VALIDATED)
    if config is None:
        return recipe
    given = changed(recipe, config)
    own = [name for name in OF_ROWS if getattr(given, name) != getattr(recipe, name)]
    if own:
        raise UsageError(f"{config}: {', '.join(own)} cannot be changed: rows differ in that")
    return given


def recipes(plain: Recipe, seconds: float) -> dict[str, Recipe]:
    """Return the recipe of every training: of the rows, and of the student before it is fine-tuned."""
    grid = grid_of(max(phase.size for phase in plain.phases))
    published = replace(plain, network="repmedsam", grid=grid, focus=False, seconds=seconds)
    epochs = DISTILLING + FINE_TUNING
    return {
        LITEMEDSAM.key: replace(
            plain, network="litemedsam", seconds=seconds, compiled=False
        ),  # it has nothing to compile
        SCRATCH.key: published,
        "student": replace(published, seconds=seconds * DISTILLING / epochs),
        DISTILLED.key: replace(published, seconds=seconds * FINE_TUNING / epochs),
        FOCUS.key: replace(plain, network="repmedsam", grid=16, focus=True, seconds=seconds),
    }


def grid_of(size: int) -> Grid:
    """Return the grid on which the published network is trained, at images of `size` pixels and below.

    It has cells of CELL pixels, as LiteMedSAM's has at every size; in frames of 256 that is PUBLISHED_GRID, on which it
    is evaluated. The same weights are of any grid, and on a quarter of the places far more boxes are seen in the time.
    """
    grids: tuple[Grid, ...] = get_args(Grid)
    return next((grid for grid in grids if CELL * grid >= size), PUBLISHED_GRID)


def described(train: Path, val: Path, by_key: dict[str, Recipe]) -> dict[str, Any]:
    """Return what a folder of results is of, as JSON has it: one folder is of one table."""
    folders = {"train": str(train.resolve()), "val": str(val.resolve())}
    return json.loads(json.dumps({**folders, "recipes": {key: asdict(recipe) for key, recipe in by_key.items()}}))
