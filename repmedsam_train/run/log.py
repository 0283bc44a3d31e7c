"""What a run says of itself: rows in log.csv; for who watches, a bar on a terminal, lines elsewhere."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from repmedsam_infer.io.atomic import write_atomic
from repmedsam_train.recipe import Recipe
from repmedsam_train.run.gpu import busy
from repmedsam_train.run.processes import Processes

if TYPE_CHECKING:
    from rich.progress import Progress

COLUMNS = ("step", "size", "loss", "metric", "seconds", "validation", "images_per_second", "waiting", "gpu")


class RunLog:
    """Means over EVERY steps, and how fast those were; of several processes the first alone says anything.

    `images_per_second` are those of all processes, without validations and checkpoints; `waiting` is the part of that
    time in which the first process had no batch to go on with; `gpu`, where nvidia-ml-py is installed, the percent of
    the last moment in which its GPU was computing.
    """

    EVERY = 10

    def __init__(self, path: Path, first: int, seconds: float, recipe: Recipe, processes: Processes) -> None:
        self.path = path
        self.recipe = recipe
        self.processes = processes
        self.validation = ""
        self.images, self.waited, self.took = 0, 0.0, 0.0
        on_terminal = processes.first and sys.stderr.isatty()
        self.bar = bar(by_steps=recipe.seconds is None) if on_terminal else None
        total, done = (recipe.steps, first) if recipe.seconds is None else (recipe.seconds, int(seconds))
        self.task = self.bar.add_task("training", total=total, completed=done) if self.bar is not None else None
        if processes.first:
            write_atomic(path, "".join([",".join(COLUMNS) + "\n", *rows_until(path, first)]).encode())

    def __enter__(self) -> "RunLog":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def count(self, images: int, waited: float, took: float) -> None:
        """Count a step on `images` images, which took `took` seconds, `waited` of them waiting for its batch."""
        self.images += images * self.processes.count
        self.waited += waited
        self.took += took

    def add(self, step: int, size: int, seconds: float, loss: float, metric: float) -> None:
        """Write the means of the steps since the last row; `seconds` are the run's."""
        if not self.processes.first:
            return
        speed, waiting = self.images / max(self.took, 1e-9), self.waited / max(self.took, 1e-9)
        percent = busy(self.processes.device)
        self.row(
            step, size, f"{loss:.4f}", f"{metric:.4f}", f"{seconds:.0f}", "", f"{speed:.1f}", f"{waiting:.2f}",
            "" if percent is None else percent,
        )  # fmt: skip
        pace = f"{speed:.1f} images a second, {waiting:.0%} of the time waiting for batches"
        pace += "" if percent is None else f", GPU {percent} % busy"
        self.show(step, seconds, f"{size} pixels, loss {loss:.4f}, metric {metric:.4f}, {pace}")
        self.images, self.waited, self.took = 0, 0.0, 0.0

    def validated(self, step: int, seconds: float, score: float) -> None:
        self.row(step, "", "", "", f"{seconds:.0f}", f"{score:.4f}", "", "", "")
        self.validation = f", validation {score:.4f}"
        self.show(step, seconds, f"validation {score:.4f}")

    def row(self, *values: object) -> None:
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(values)

    def show(self, step: int, seconds: float, text: str) -> None:
        limit = self.recipe.seconds
        if self.bar is not None and self.task is not None:
            self.bar.update(
                self.task, completed=step if limit is None else seconds, description=f"{text}{self.validation}"
            )
        elif limit is None:
            print(f"[{step}/{self.recipe.steps}] {text} after {seconds:.0f} s", flush=True)
        else:
            print(f"[{seconds:.0f}/{limit:.0f} s] {text} after {step} steps", flush=True)


def rows_until(path: Path, step: int) -> list[str]:
    """Return the lines of a log up to `step`: a killed run is taken up there, and does the steps after it again."""
    if not step or not path.exists():
        return []
    lines = path.read_text(errors="replace").splitlines()[1:]
    return [line + "\n" for line in lines if (done := line.split(",")[0]).isdecimal() and int(done) <= step]


def bar(*, by_steps: bool) -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    done = (MofNCompleteColumn(),) if by_steps else ()
    return Progress(BarColumn(), *done, TimeRemainingColumn(), TextColumn("{task.description}"))
