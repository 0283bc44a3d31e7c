"""What can be trained: RepMedSAM, and the baseline that it is compared with, LiteMedSAM."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError

from repmedsam_infer.engines.weights import read_tensors
from repmedsam_infer.errors import UsageError
from repmedsam_infer.network import RepMedSAM, reparameterize
from repmedsam_train.comparison.litemedsam import LiteMedSAM
from repmedsam_train.recipe import Recipe
from repmedsam_train.weights.state import load_state
from repmedsam_train.weights.unfuse import is_fused

Network = RepMedSAM | LiteMedSAM


def untrained(recipe: Recipe) -> Network:
    return LiteMedSAM() if recipe.network == "litemedsam" else RepMedSAM(recipe.grid, recipe.focus)


def network_of(settings: Mapping[str, str]) -> Network:
    """An untrained network of the make that a weight file's metadata state. Raises ValueError where there is none."""
    return LiteMedSAM() if settings == LiteMedSAM.settings else RepMedSAM.from_settings(dict(settings))


def load_trained(path: Path) -> Network:
    """The network of a safetensors file, in eval mode: in training form as `finetune` leaves it, or in inference form
    as it is shipped or averaged.

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
