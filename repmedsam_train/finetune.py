"""Stage 2: train encoder and heads together on masks (paper section 2.2); from scratch where nothing is given."""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError

from repmedsam_infer.engines.weights import read_tensors
from repmedsam_infer.errors import UsageError
from repmedsam_infer.network import reparameterize
from repmedsam_infer.network.focus import resample
from repmedsam_infer.preprocess import FRAME_SIZE
from repmedsam_train.comparison.litemedsam import LiteMedSAM
from repmedsam_train.data.augmentation import NO_AUGMENTATION
from repmedsam_train.data.batch import Batch
from repmedsam_train.data.dataset import TrainingSet
from repmedsam_train.data.split import parts_of
from repmedsam_train.loop import Task, train
from repmedsam_train.objective import batch_loss, predict
from repmedsam_train.pictures import U8, draw_masks
from repmedsam_train.recipe import Phase, Recipe
from repmedsam_train.run.processes import join
from repmedsam_train.weights.networks import Network, on_device, untrained
from repmedsam_train.weights.state import load_state
from repmedsam_train.weights.unfuse import Inputs, is_fused, unfuse

VALIDATION_BATCH = 16
CALIBRATION_BATCHES = 16  # from which the statistics of fused weights are taken
NOT_PUBLISHED = ("high_res.", "contrast.")  # what published networks do not have


def finetune(
    cases: Path,
    out: Path,
    recipe: Recipe,
    val: Path | None = None,
    initial: Path | None = None,
    device: str = "auto",
) -> Path:
    """Train on a folder of npz files or shards; returns the weights, `out`/model.safetensors. See `loop.train`.

    Without `val`, a folder like it, a part of `cases` is held out (split.py). `device`: see `processes.join`.

    Raises:
        UsageError: a folder holds no cases, `initial` does not fit, the recipe does not fit either, or there is no such
            device.

    """
    processes = join(device)
    place = processes.device
    torch.manual_seed(recipe.seed)
    model = on_device(untrained(recipe), place)  # before batches, which are there, go through it
    trained_on, held_out_paths = parts_of(cases, val, recipe.seed)
    dataset = TrainingSet(
        trained_on,
        place,
        recipe.seed,
        recipe.augmentation,
        focus=model.focus,
        balance=recipe.balance,
        emphasis=recipe.emphasis,
        epochs=recipe.epochs,
        drawn=recipe.drawn,
    )
    if initial is not None:
        phase = recipe.phase(0)
        batches = (dataset.batch(step, phase.batch, phase.size, 1, phase.drawn) for step in range(CALIBRATION_BATCHES))
        model = load_initial(model, initial, fused=recipe.fused, batches=map(inputs_of, batches))
    elif recipe.fused:
        raise UsageError("fused training starts from trained weights; name them with --initial")
    model.image_encoder.requires_grad_(not recipe.heads_only)
    held_out = TrainingSet(held_out_paths, place, 1, NO_AUGMENTATION, focus=model.focus, epochs=recipe.epochs)

    def load(step: int, phase: Phase) -> Batch:
        boxes = recipe.boxes_per_image
        return dataset.batch(step, phase.batch, phase.size, boxes, phase.drawn, processes.rank, processes.count)

    task: Task[Network] = Task(
        on_device(model, place),
        load,
        lambda network, batch: batch_loss(network, batch, recipe),
        lambda network: validate(network, held_out, recipe),
        model.settings,
        lambda network: picture(network, held_out, recipe),
    )
    return train(task, recipe, out, processes)


def load_initial(model: Network, path: Path, *, fused: bool, batches: Iterable[Inputs]) -> Network:
    """Start from the weights of a safetensors file, in training form or, as they are shipped, fused; they may lack what
    published networks do not have. Returns `model`, or with `fused` its inference form. `batches` are such as it will
    meet: fused weights get the statistics of normalisations from them.

    Raises:
        UsageError: it is not a file of such weights.

    """
    try:
        state, _ = read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path} cannot be read as safetensors: {error}") from error
    if isinstance(model, LiteMedSAM) or not is_fused(state):
        load_state(model, state, path, type(model).__name__, optional=NOT_PUBLISHED)
        return reparameterize(model) if fused else model
    state = {name: tensor.float() for name, tensor in state.items()}
    inference_form = reparameterize(model)
    load_state(inference_form, state, path, "RepMedSAM", optional=NOT_PUBLISHED)  # says what does not fit
    if fused:
        return inference_form
    unfuse(state, model, batches)
    return model


def inputs_of(batch: Batch) -> Inputs:
    return batch.images, batch.boxes, batch.image_index


@torch.no_grad()
def validate(model: Network, dataset: TrainingSet, recipe: Recipe) -> float:
    """Mean hard Dice of the objects in a fixed draw of unaugmented slices: rare modalities drawn more often, or with
    `recipe.epochs` all cases alike.
    """
    dices: list[float] = []
    batch_size = min(VALIDATION_BATCH, recipe.validation_samples)
    for step in range(math.ceil(recipe.validation_samples / batch_size)):
        batch = dataset.batch(step, batch_size, FRAME_SIZE, boxes_per_image=4)
        dices.append(batch_loss(model, batch, recipe)[1].item())
    return sum(dices) / len(dices)


@torch.no_grad()
def picture(model: Network, dataset: TrainingSet, recipe: Recipe) -> U8:
    """Masks of the first objects of `validate`, as one picture."""
    batch = dataset.batch(0, min(VALIDATION_BATCH, recipe.validation_samples), FRAME_SIZE, boxes_per_image=4).filled()
    predicted = predict(model, batch, recipe)
    side = predicted.masks.shape[-1]
    images, rois = batch.images[batch.image_index], batch.rois / FRAME_SIZE
    views = resample(rois, side, images.shape[-1]).of(images).permute(0, 2, 3, 1)
    as_bytes = (views * 255).round().to(torch.uint8).cpu().numpy()
    return draw_masks(as_bytes, (predicted.logits > 0).cpu().numpy(), (predicted.masks > 0.5).cpu().numpy())
