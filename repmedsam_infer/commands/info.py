"""What is installed and what the machine offers, without importing any of it."""

import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from repmedsam_infer import __version__
from repmedsam_infer.engines.precision import choose_precision
from repmedsam_infer.engines.weights import find_weights
from repmedsam_infer.errors import SetupError
from repmedsam_infer.system.cpu import processor
from repmedsam_infer.system.threads import available_threads

ENGINES = ("openvino", "torch")


def describe(weights_folder: Path | None) -> dict[str, Any]:
    """Versions, engines with their versions (None: not installed), weights, machine; JSON-ready."""
    try:
        found = find_weights(weights_folder)
        weights: dict[str, Any] = {
            "folder": str(found.folder),
            "sha256": found.sha256,
            "files": found.present,
            "fitted": asdict(found.calibration()),
        }
        auto: dict[str, dict[str, str]] | None = {
            kind: choose_precision("auto", found, volumes)._asdict()
            for kind, volumes in (("pictures", False), ("volumes", True))
        }
    except SetupError as error:
        weights, auto = {"error": str(error)}, None
    return {
        "repmedsam": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "threads": available_threads(),
        "engines": {name: installed_version(name) for name in ENGINES},
        "auto": auto,
        "weights": weights,
    }


def installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
