"""The mean of several networks' weights: where runs go on from one another, it often is better than any of them."""

from collections.abc import Sequence
from pathlib import Path

import torch

from repmedsam_infer.errors import UsageError
from repmedsam_infer.network import RepMedSAM, reparameterize
from repmedsam_train.weights.networks import load_trained


def average(paths: Sequence[Path], kept: Sequence[str] = ()) -> RepMedSAM:
    """The plain mean, in inference form: what normalisation makes of a layer is averaged, not its parts.

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
