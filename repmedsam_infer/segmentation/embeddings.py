"""Embeddings of a volume's slices: encoded when they are first needed, several at a time, the latest used ones kept."""

from collections import OrderedDict
from collections.abc import Iterable, Set

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
    """Of the whole view of each slice of a volume.

    Args:
        case: the volume.
        view: the whole view of its slices.
        engine: encodes, and its workers.
        watch: times encoding.

    """

    def __init__(self, case: Case, view: View, engine: Engine, watch: Stopwatch) -> None:
        self.case, self.view, self.engine, self.watch = case, view, engine, watch
        self.kept: OrderedDict[int, F32] = OrderedDict()

    def of(self, slices: Iterable[int]) -> dict[int, F32]:
        """Return the embeddings of these slices; those that are not kept are encoded."""
        wanted = sorted(set(slices))
        found = {z: self.kept[z] for z in wanted if z in self.kept}
        for z, embedding in run_in_workers(self.encode, [z for z in wanted if z not in found], self.engine, self.watch):
            found[z] = self.kept[z] = embedding
        for z in wanted:
            self.kept.move_to_end(z)
        while self.kept and len(self.kept) * found[wanted[0]].nbytes > MOST_BYTES:
            self.kept.popitem(last=False)
        return found

    def encode_ahead(self, needed: Set[int], ahead: Set[int]) -> None:
        """Encode `needed` slices, and with them those `ahead` where there is something to encode, so that no worker is
        idle.
        """
        if not needed <= self.kept.keys():
            self.of(needed | ahead)

    def encode(self, z: int, engine: Engine, watch: Stopwatch) -> tuple[int, F32]:
        """Encode slice z, kept or not."""
        with watch("preprocess"):
            placed = self.view.place_image(self.case.imgs[z])
        with watch("encode"):
            return z, engine.encode(placed)
