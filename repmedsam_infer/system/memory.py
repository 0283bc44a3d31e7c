"""How much memory this process has needed."""

import sys


def peak_memory() -> float | None:
    """Largest resident set so far, MiB; None where the system does not state it (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
