"""The trained networks of the rows, as they are evaluated and timed: re-parameterized, on a device."""

from pathlib import Path

import torch
from torch import Tensor, nn

from repmedsam_infer.errors import UsageError
from repmedsam_infer.network import RepMedSAM, reparameterize
from repmedsam_infer.preprocess import FRAME_SIZE
from repmedsam_train.comparison.litemedsam import LiteMedSAM
from repmedsam_train.comparison.medsam import SIDE, MedSAM
from repmedsam_train.comparison.published import import_checkpoint
from repmedsam_train.recipe import Recipe
from repmedsam_train.table4.plan import PUBLISHED_GRID
from repmedsam_train.weights.networks import load_trained, on_device

Compared = RepMedSAM | LiteMedSAM | MedSAM


def load_row(path: Path, recipe: Recipe) -> Compared:
    """Return a row's network in inference form; that of the paper on its grid, whatever it was trained on.

    Raises:
        UsageError: the file holds no trained network, or another one than the recipe's.

    """
    network = load_trained(path)
    wanted = (
        LiteMedSAM.settings if recipe.network == "litemedsam" else RepMedSAM(recipe.grid, focus=recipe.focus).settings
    )
    if network.settings != wanted:
        raise UsageError(f"{path} holds {network.settings} instead of {wanted}; remove its folder to train it anew")
    if not isinstance(network, RepMedSAM):
        return network
    if not network.focus:
        network.grid = PUBLISHED_GRID
    return reparameterize(network)


def load_medsam(path: Path) -> MedSAM:
    """Return the network of MedSAM's checkpoint. Raises UsageError where the file holds none."""
    kind, network = import_checkpoint(path)
    if not isinstance(network, MedSAM):
        raise UsageError(f"{path} is {kind}; --medsam takes MedSAM's checkpoint")
    return network


def untrained_medsam() -> MedSAM:
    """Return MedSAM with random weights, which take as long."""
    return MedSAM().eval()


def frame_side(network: Compared) -> int:
    """Return the side of what the network encodes, in pixels."""
    return SIDE if isinstance(network, MedSAM) else FRAME_SIZE


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class OnDevice:
    """A network on a device, for `TorchEngine`, whose arrays are in main memory."""

    def __init__(self, network: RepMedSAM | LiteMedSAM, device: torch.device) -> None:
        self.network = on_device(network, device).eval()
        self.device = device
        self.grid, self.focus = network.grid, network.focus

    def encode(self, images: Tensor) -> Tensor:
        """(M, 3, S, S) -> embedding, as of the network."""
        return self.network.encode(images.to(self.device, memory_format=torch.channels_last)).cpu()

    def decode(self, embedding: Tensor, boxes: Tensor, *, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and iou, as of the network."""
        there = self.device
        logits, iou = self.network.decode(embedding.to(there), boxes.to(there), rois=rois.to(there))
        return logits.cpu(), iou.cpu()
