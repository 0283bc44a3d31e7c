"""Stage 1: the image encoder learns to give the embeddings of a teacher (paper section 2.2, table 2)."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from repmedsam_infer.errors import UsageError
from repmedsam_infer.network import RepMedSAM
from repmedsam_infer.preprocess import FRAME_SIZE
from repmedsam_train.comparison.litemedsam import LiteMedSAM
from repmedsam_train.comparison.published import import_checkpoint
from repmedsam_train.data.augmentation import NO_AUGMENTATION
from repmedsam_train.data.batch import Batch
from repmedsam_train.data.dataset import TrainingSet
from repmedsam_train.data.split import parts_of
from repmedsam_train.loop import Task, train
from repmedsam_train.recipe import Phase, Recipe
from repmedsam_train.run.processes import join
from repmedsam_train.weights.networks import on_device


def distill(
    cases: Path, out: Path, recipe: Recipe, teacher: Path, val: Path | None = None, device: str = "auto"
) -> Path:
    """Train on the images of `cases`; returns `out`/model.safetensors: the student's encoder with the teacher's heads,
    which is what stage 2 starts from. See `loop.train`.

    Args:
        cases: folder of npz files or shards.
        out: folder for checkpoints, log and weights.
        recipe: as for stage 2; what concerns boxes and masks is not used.
        teacher: checkpoint of LiteMedSAM, published or our own.
        val: folder of such; the best weights are those of the lowest loss on it. Without it a part of `cases` is
            held out (split.py).
        device: see `processes.join`.

    Raises:
        UsageError: a folder holds no cases, the teacher is not LiteMedSAM, or there is no such device.

    """
    processes = join(device)
    place = processes.device
    torch.manual_seed(recipe.seed)
    kind, teaching = import_checkpoint(teacher)
    if not isinstance(teaching, LiteMedSAM):
        raise UsageError(f"{teacher} is {kind}; the teacher has to be LiteMedSAM")
    student = RepMedSAM(recipe.grid, focus=recipe.focus)
    student.prompt_encoder.load_state_dict(teaching.prompt_encoder.state_dict())
    student.mask_decoder.load_state_dict(teaching.mask_decoder.state_dict())
    student.requires_grad_(requires_grad=False).image_encoder.requires_grad_(requires_grad=True)
    teaching = on_device(teaching, place).eval()
    trained_on, held_out_paths = parts_of(cases, val, recipe.seed)
    dataset = TrainingSet(
        trained_on,
        place,
        recipe.seed,
        recipe.augmentation,
        balance=recipe.balance,
        emphasis=recipe.emphasis,
        epochs=recipe.epochs,
        drawn=recipe.drawn,
    )
    held_out = TrainingSet(held_out_paths, place, 1, NO_AUGMENTATION, epochs=recipe.epochs)

    def load(step: int, phase: Phase) -> Batch:
        return dataset.batch(step, phase.batch, phase.size, 1, phase.drawn, processes.rank, processes.count)

    def loss(network: RepMedSAM, batch: Batch) -> tuple[Tensor, Tensor]:
        images = batch.images.contiguous(memory_format=torch.channels_last)
        with recipe.autocast(images.device):
            with torch.no_grad():
                wanted = teaching.encode(images)
            given = network.image_encoder(images)
        divergence = embedding_divergence(given.float(), wanted.float())
        return divergence, divergence.detach()

    @torch.no_grad()
    def negative_loss(network: RepMedSAM) -> float:
        steps = math.ceil(recipe.validation_samples / 8)
        batches = (held_out.batch(step, 8, FRAME_SIZE, 1) for step in range(steps))
        return -sum(loss(network, batch)[0].item() for batch in batches) / steps

    task: Task[RepMedSAM] = Task(
        on_device(student, place),
        load,
        loss,
        negative_loss,
        student.settings,
        all_used=True,
    )
    return train(task, recipe, out, processes)


def embedding_divergence(given: Tensor, wanted: Tensor) -> Tensor:
    """Kullback-Leibler divergence of (B, C, h, w) student from (B, C, H, W) teacher embeddings, h <= H.

    The student is upsampled to the teacher's grid, without parameters; at each position the channels are made a
    distribution by softmax; the mean over positions. (The paper says KLDivLoss and leaves the rest open.)
    """
    given = functional.interpolate(given, wanted.shape[-2:], mode="bilinear", align_corners=False)
    pointwise = nn.KLDivLoss(reduction="none")(given.log_softmax(1), wanted.softmax(1))
    return pointwise.sum(1).mean()
