"""Seconds by stage of one case, and how often each stage was entered."""

import contextlib
import time
from collections.abc import Iterator


class Stopwatch:
    """Adds up the time spent in named stages; stages must not nest."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def add(self, other: "Stopwatch", share: float = 1) -> None:
        """Also `share` of another's seconds, and its calls; a third of each, say, of three that ran at once."""
        for stage, seconds in other.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + share * seconds
            self.calls[stage] = self.calls.get(stage, 0) + other.calls[stage]

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.calls[stage] = self.calls.get(stage, 0) + 1
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
