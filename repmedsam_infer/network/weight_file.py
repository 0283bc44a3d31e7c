"""A weight file: the network's tensors by name, and its metadata."""

from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from repmedsam_infer.engines.weights import GRAPH_CONSTANTS


def read_weight_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The network's tensors, as they are stored, and the metadata; what belongs to OpenVINO's graphs is left out.

    Raises:
        OSError, safetensors.SafetensorError: it cannot be read, or is no safetensors file.

    """
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name != GRAPH_CONSTANTS]  # noqa: SIM118 (no mapping)
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
