"""Train the rows, one after the other; what was trained before is left as it is, what was begun goes on."""

from collections.abc import Callable
from pathlib import Path

from repmedsam_infer.errors import UsageError
from repmedsam_train.distill import distill
from repmedsam_train.finetune import finetune
from repmedsam_train.recipe import Recipe
from repmedsam_train.table4.plan import DISTILLED, FOCUS, LITEMEDSAM, SCRATCH, Show

AT_THE_END = "last.safetensors"  # the averaged network after the last step: none is chosen by how it does on val
STUDENT = "student"


def train_rows(
    train: Path, val: Path, out: Path, by_key: dict[str, Recipe], device: str, show: Show
) -> dict[str, Path]:
    """Return the weights of every trained row, by key.

    Raises:
        UsageError: a folder holds no cases, or a recipe does not fit.

    """

    def trained(key: str, run: Callable[[Path, Recipe], Path]) -> Path:
        folder, recipe = out / key, by_key[key]
        weights = folder / AT_THE_END
        if weights.is_file():
            show(f"{key}: is trained")
            return weights
        limit = "" if recipe.seconds is None else f" for {recipe.seconds:g} s"
        show(f"{key}: training{limit}, in {folder}")
        run(folder, recipe)
        if not weights.is_file():
            raise UsageError(f"{folder} holds no {AT_THE_END} after training; remove the folder to train it anew")
        return weights

    def fine_tuned(initial: Path | None = None) -> Callable[[Path, Recipe], Path]:
        return lambda folder, recipe: finetune(train, folder, recipe, val, initial, device=device)

    weights = {row.key: trained(row.key, fine_tuned()) for row in (LITEMEDSAM, SCRATCH)}
    teacher, student = weights[LITEMEDSAM.key], out / STUDENT / AT_THE_END
    if not (out / DISTILLED.key / AT_THE_END).is_file():  # then the student may be gone
        trained(STUDENT, lambda folder, recipe: distill(train, folder, recipe, teacher, val, device=device))
    weights[DISTILLED.key] = trained(DISTILLED.key, fine_tuned(student))
    weights[FOCUS.key] = trained(FOCUS.key, fine_tuned())
    return weights
