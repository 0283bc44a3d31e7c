"""What `repmedsam prepare` does: compile the networks that `auto` takes on this processor, for quicker starts."""

from pathlib import Path

from repmedsam_infer.engines.compiled_cache import CompiledNetworks
from repmedsam_infer.engines.openvino import load_networks
from repmedsam_infer.engines.precision import choose_precision
from repmedsam_infer.engines.weights import find_weights
from repmedsam_infer.errors import UsageError
from repmedsam_infer.system.threads import available_threads


def prepare(folder: Path, weights: Path | None) -> list[str]:
    """Write the compiled networks into `folder`; returns their precisions.

    Raises:
        UsageError: the folder cannot be written.
        SetupError: OpenVINO is not installed, or the weights are missing or damaged.

    """
    found, cache = find_weights(weights), CompiledNetworks(folder)
    precisions = sorted({choose_precision("auto", found, volumes).precision for volumes in (False, True)})
    try:
        for precision in precisions:
            load_networks(found, available_threads(), precision, streams=1, cache=cache, keep=True)
    except OSError as error:
        raise UsageError(f"compiled networks could not be written to {folder} ({error.strerror})") from error
    return list(precisions)
