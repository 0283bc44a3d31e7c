"""What a run ran with, for report.json."""

from collections.abc import Mapping
from typing import Any

from repmedsam_infer import __version__
from repmedsam_infer.engines import Engine
from repmedsam_infer.memory import peak_memory
from repmedsam_infer.processor import processor
from repmedsam_infer.weights import Weights


def setting_of(engines: Mapping[bool, Engine], weights: Weights, threads: int, started: str) -> dict[str, Any]:
    """JSON-ready; `engines[True]` did volumes, `engines[False]` pictures, where there were any."""
    engine: dict[str, Any] = {}
    for volumes, one in engines.items():
        engine.setdefault("precision", {})["volumes" if volumes else "pictures"] = one.precision
        engine |= {"name": one.name, "version": one.version, "grid": one.grid}
    return {
        "repmedsam": __version__,
        "engine": engine,
        "weights": weights.sha256,
        "processor": processor(),
        "threads": threads,
        "started": started,
        "peak_memory_mib": peak_memory(),
    }
