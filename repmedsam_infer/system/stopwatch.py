"""Seconds by stage of one case, and how often each stage was entered."""

import contextlib
import time
from collections.abc import Callable, Iterator


class Stopwatch:
    """Adds up the time spent in named stages; stages must not nest.

    on_stage: called with the name of each stage before it begins, by the thread that does it; what it raises ends the
    case.
    expected: how often "encode" will be entered, where that is known; else 0.
    """

    def __init__(self, on_stage: Callable[[str], None] | None = None) -> None:
        self.on_stage = on_stage
        self.expected = 0
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def add(self, other: "Stopwatch", share: float = 1) -> None:
        """Also `share` of another's seconds, and its calls; a third of each, say, of three that ran at once."""
        for stage, seconds in other.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + share * seconds
            self.calls[stage] = self.calls.get(stage, 0) + other.calls[stage]

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        if self.on_stage is not None:
            self.on_stage(stage)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.calls[stage] = self.calls.get(stage, 0) + 1
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
