"""What a run ran with, for report.json."""

import contextlib
import re
import sys
from pathlib import Path
from typing import Any

from repmedsam_infer import __version__
from repmedsam_infer.engines.pool import EnginePool
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.system.cpu import this_processor

STATUS = Path("/proc/self/status")


def provenance(pool: EnginePool, weights: Weights, threads: int, started: str) -> dict[str, Any]:
    """JSON-ready; of the engines those that were loaded, for pictures, for volumes, or both."""
    engine: dict[str, Any] = {}
    for volumes, (one, *_) in pool.loaded.items():
        engine.setdefault("precision", {})["volumes" if volumes else "pictures"] = one.precision
        engine |= {"name": one.name, "version": one.version, "grid": one.grid}
    return {
        "repmedsam": __version__,
        "engine": engine,
        "weights": weights.sha256,
        "processor": this_processor().name,
        "threads": threads,
        "started": started,
        "peak_memory_mib": peak_memory(),
    }


def peak_memory() -> float | None:
    """Largest resident set so far, MiB; None where the system does not state it (Windows)."""
    with contextlib.suppress(OSError):  # Linux, whose ru_maxrss begins with that of the process that started this one
        found = re.search(r"^VmHWM:\s+(\d+) kB", STATUS.read_text(errors="replace"), re.MULTILINE)
        if found:
            return int(found[1]) / 2**10
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
