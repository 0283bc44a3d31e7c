"""One network for everything that goes on at once: what a person waits for comes before what is done in advance."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.engine import Decoded, Engine

F32 = NDArray[np.float32]


class GivenUpError(Exception):
    """What was being worked out is no longer wanted."""


class Turns:
    """The workers of an engine, lent for one encoding or decoding at a time; urgent borrowers first."""

    def __init__(self, workers: Sequence[Engine]) -> None:
        self.count = len(workers)
        self.free = list(workers)
        self.urgent = 0  # borrowers that wait
        self.changed = threading.Condition()

    @contextmanager
    def lend(self, *, urgent: bool) -> Iterator[Engine]:
        """Lend a worker for as long as the block lasts."""
        with self.changed:
            self.urgent += urgent
            try:
                self.changed.wait_for(lambda: bool(self.free) and (urgent or not self.urgent))
                worker = self.free.pop()
            finally:
                self.urgent -= urgent
        try:
            yield worker
        finally:
            with self.changed:
                self.free.append(worker)
                self.changed.notify_all()


class SharedEngine:
    """An engine whose calls take turns with those of others; it gives the same results, bit for bit.

    Args:
        engine: what it stands for: name, precision and what was fitted to the weights are that one's.
        turns: of its workers.
        urgent: whether a person waits for the results.
        check: called before each turn; it may raise GivenUpError.

    """

    def __init__(
        self, engine: Engine, turns: Turns, *, urgent: bool = False, check: Callable[[], None] = lambda: None
    ) -> None:
        self.name, self.version, self.precision = engine.name, engine.version, engine.precision
        self.grid, self.focus = engine.grid, engine.focus
        self.calibration, self.confidence = engine.calibration, engine.confidence
        self.turns, self.is_urgent, self.check = turns, urgent, check

    @property
    def workers(self) -> "Sequence[SharedEngine]":
        """As many as the engine has."""
        return [self] * self.turns.count

    def encode(self, image: F32) -> F32:
        self.check()
        with self.turns.lend(urgent=self.is_urgent) as worker:
            return worker.encode(image)

    def decode(self, embedding: F32, boxes: F32, rois: F32) -> Decoded:
        self.check()
        with self.turns.lend(urgent=self.is_urgent) as worker:
            return worker.decode(embedding, boxes, rois)


@dataclass(frozen=True)
class Network:
    """What sessions share: an engine for pictures or for volumes, and whose turn it is."""

    engine: Engine
    turns: Turns

    @classmethod
    def of(cls, engine: Engine) -> Self:
        """Share an engine that nobody else uses."""
        return cls(engine, Turns(engine.workers))

    def shared(self, *, urgent: bool = False, check: Callable[[], None] = lambda: None) -> SharedEngine:
        return SharedEngine(self.engine, self.turns, urgent=urgent, check=check)
