"""The machine: what is installed (`repmedsam info`), and networks compiled for its processor (`repmedsam prepare`)."""

import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from repmedsam_infer import __version__
from repmedsam_infer.engines.precision import KINDS, choose_precision
from repmedsam_infer.engines.weights import STORE, Weights, find_weights
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.system.cpu import this_processor
from repmedsam_infer.system.threads import available_threads

ENGINES = ("openvino", "torch", "onnxruntime")


def describe(weights_folder: Path | None) -> dict[str, Any]:
    """Versions of the engines (None: not installed), weights, machine, JSON-ready; no engine is imported."""
    from repmedsam_infer.engines.compiled_cache import compiled_networks

    cache = compiled_networks().folder
    auto: dict[str, Any] | None
    try:
        found = find_weights(weights_folder)
        weights: dict[str, Any] = {
            "folder": str(found.folder),
            "sha256": found.sha256,
            "files": found.present,
            "fitted": asdict(found.calibration()) if STORE in found.sums else None,  # ONNX files have it in themselves
        }
        auto = automatic(found)
    except SetupError as error:
        weights, auto = {"error": str(error)}, None
    return {
        "repmedsam": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": this_processor().name,
        "threads": available_threads(),
        "engines": {name: installed_version(name) for name in ENGINES},
        "auto": auto,
        "cache": None if cache is None else str(cache),
        "weights": weights,
    }


def automatic(weights: Weights) -> dict[str, Any]:
    """Return what auto takes for each kind of case, and why; or why it takes nothing. JSON-ready."""
    try:
        return {kind: choose_precision("auto", weights, volumes=kind == "volumes")._asdict() for kind in KINDS}
    except SetupError as error:
        return {"error": str(error)}


def installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def prepare(folder: Path | None, weights: Path | None) -> tuple[Path, list[str]]:
    """Write the compiled networks that `auto` uses on this processor into `folder`, or where runs keep them.

    Returns:
        The folder, and their precisions.

    Raises:
        UsageError: the folder cannot be written, or others can write it.
        SetupError: OpenVINO is not installed, or the weights are missing or damaged.

    """
    from repmedsam_infer.engines.compiled_cache import VARIABLE, CompiledNetworks, compiled_networks
    from repmedsam_infer.engines.openvino_networks import load_networks

    cache = compiled_networks() if folder is None else CompiledNetworks(folder)
    if cache.folder is None:
        raise UsageError(f"there is no folder for compiled networks ({VARIABLE} is off, or there is no home): name one")
    found = find_weights(weights)
    precisions = sorted({choose_precision("auto", found, volumes=volumes).precision for volumes in (False, True)})
    try:
        cache.make_folder()
        for precision in precisions:
            load_networks(found, available_threads(), precision, streams=1, cache=cache, keep=True)
    except OSError as error:
        raise UsageError(f"compiled networks could not be written to {cache.folder} ({error.strerror})") from error
    return cache.folder, list(precisions)
