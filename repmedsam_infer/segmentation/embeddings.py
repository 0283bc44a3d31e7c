"""Embeddings of a volume's slices: encoded when they are first needed, several at a time, the latest used ones kept."""

from collections import OrderedDict
from collections.abc import Iterable, Set
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.pool import run_in_workers
from repmedsam_infer.preprocess import View
from repmedsam_infer.system.stopwatch import Stopwatch

F32 = NDArray[np.float32]
MOST_BYTES = 512 << 20  # of the embeddings that are kept: some 300 slices


class SliceEmbeddings:
    """Of the whole view of each slice of a volume. Threads may share it.

    Args:
        case: the volume.
        view: the whole view of its slices.
        engine: encodes, and its workers.
        watch: times encoding.
        keep_all: whether what `at` encodes is kept, too: where boxes come one after another.

    """

    def __init__(self, case: Case, view: View, engine: Engine, watch: Stopwatch, *, keep_all: bool = False) -> None:
        self.case, self.view, self.engine, self.watch, self.keep_all = case, view, engine, watch, keep_all
        self.kept: OrderedDict[int, F32] = OrderedDict()
        self.lock = Lock()  # of `kept`

    def of(self, slices: Iterable[int]) -> dict[int, F32]:
        """Return the embeddings of these slices; those that are not kept are encoded."""
        wanted = sorted(set(slices))
        found = {z: embedding for z in wanted if (embedding := self.look_up(z)) is not None}
        missing = [z for z in wanted if z not in found]
        found |= dict(run_in_workers(self.encode, missing, self.engine, self.watch))
        self.keep(found)
        return found

    def at(self, z: int, engine: Engine, watch: Stopwatch) -> F32:
        """Return the embedding of one slice, encoded by `engine` if it is not kept."""
        embedding = self.look_up(z)
        if embedding is None:
            embedding = self.encode(z, engine, watch)[1]
            if self.keep_all:
                self.keep({z: embedding})
        return embedding

    def look_up(self, z: int) -> F32 | None:
        """Return the embedding of slice z if it is kept; it is the latest used one then."""
        with self.lock:
            if z in self.kept:
                self.kept.move_to_end(z)
            return self.kept.get(z)

    def keep(self, embeddings: dict[int, F32]) -> None:
        """Keep these, by slice, as the latest used ones; the oldest go where there are too many."""
        with self.lock:
            self.kept.update(embeddings)
            for z in embeddings:
                self.kept.move_to_end(z)
            while self.kept and len(self.kept) * next(iter(self.kept.values())).nbytes > MOST_BYTES:
                self.kept.popitem(last=False)

    def encode_ahead(self, needed: Set[int], ahead: Set[int]) -> None:
        """Encode `needed` slices, and with them those `ahead` where there is something to encode, so that no worker is
        idle.
        """
        with self.lock:
            complete = needed <= self.kept.keys()
        if not complete:
            self.of(needed | ahead)

    def encode(self, z: int, engine: Engine, watch: Stopwatch) -> tuple[int, F32]:
        """Encode slice z, kept or not."""
        with watch("preprocess"):
            placed = self.view.place_image(self.case.imgs[z])
        with watch("encode"):
            return z, engine.encode(placed)
