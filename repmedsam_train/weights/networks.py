"""Trained networks, RepMedSAM and LiteMedSAM, the baseline: made, loaded from files, averaged."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from repmedsam_infer.engines.weights import read_tensors
from repmedsam_infer.errors import UsageError
from repmedsam_infer.network import RepMedSAM, reparameterize
from repmedsam_train.comparison.litemedsam import LiteMedSAM
from repmedsam_train.recipe import Recipe
from repmedsam_train.weights.state import load_state
from repmedsam_train.weights.unfuse import is_fused

Network = RepMedSAM | LiteMedSAM
N = TypeVar("N", bound=nn.Module)


def untrained(recipe: Recipe) -> Network:
    return LiteMedSAM() if recipe.network == "litemedsam" else RepMedSAM(recipe.grid, focus=recipe.focus)


def on_device(network: N, device: torch.device) -> N:
    """Put a network on a device, the channels of its kernels last: convolutions are fastest so. Returns it."""
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network.to(device)


def network_of(settings: Mapping[str, str]) -> Network:
    """Make an untrained network as a weight file's metadata state. Raises ValueError where they state none."""
    return LiteMedSAM() if settings == LiteMedSAM.settings else RepMedSAM.from_settings(dict(settings))


def load_trained(path: Path) -> Network:
    """Load the network of a safetensors file, in eval mode.

    It is in training form, as `finetune` leaves it, or in inference form, as it is shipped or averaged.

    Raises:
        UsageError: the file cannot be read, or is not of a network of ours.

    """
    try:
        state, settings = read_tensors(path)
        network = network_of(settings)
    except (OSError, SafetensorError, ValueError) as error:
        raise UsageError(f"{path} holds no trained network: {error}") from error
    if isinstance(network, RepMedSAM) and is_fused(state):
        network = reparameterize(network)
    load_state(network, state, path, type(network).__name__)
    return network.eval()


def average(paths: Sequence[Path], kept: Sequence[str] = ()) -> RepMedSAM:
    """Average weights, in inference form: where runs go on from one another, the plain mean is often better than any.

    What normalisation makes of a layer is averaged, not its parts.

    Layers whose names begin with one of `kept` stay as they are in the first file: what training hardly changed need
    not make every file that is derived of it another one.

    Raises:
        UsageError: a file holds no RepMedSAM, or one of another make than the first.

    """
    networks: list[RepMedSAM] = []
    for path in paths:
        network = load_trained(path)
        if not isinstance(network, RepMedSAM) or (networks and network.settings != networks[0].settings):
            raise UsageError(f"{path} cannot be averaged with {paths[0]}: they are networks of different make")
        networks.append(reparameterize(network))
    states = [network.state_dict() for network in networks]
    mean = {name: torch.stack([state[name].float() for state in states]).mean(0) for name in states[0]}
    networks[0].load_state_dict({k: states[0][k] if k.startswith(tuple(kept)) else v for k, v in mean.items()})
    return networks[0]
