"""What can run the network: the protocol of all engines, which give the same masks."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.confidence import ConfidenceModel
from repmedsam_infer.engines.precision import Precision

F32 = NDArray[np.float32]
MAX_BATCH = 8  # boxes decoded at once, but for OpenVINO


class Decoded(NamedTuple):
    """What the decoder makes of N boxes.

    low_res_logits: (N, 4G, 4G) float32, positive inside the mask.
    iou: (N,) float32, the IoU with the true mask that the network predicts; trained to be in 0..1, not cut off there.
    """

    low_res_logits: F32
    iou: F32


class Engine(Protocol):
    """The network, loaded. G is the decoder's grid; `focus` says whether its logits cover ROIs, or the frame.

    Arrays that come back belong to the caller.
    """

    name: str
    version: str
    precision: Precision  # of the encoder
    grid: int
    focus: bool
    calibration: Calibration  # what was fitted to the weights
    confidence: ConfidenceModel | None  # what estimates the DSC of their masks, if it was fitted

    @property
    def workers(self) -> "Sequence[Engine]":
        """Engines that can run at the same time and share this one's threads; it is the first of them."""
        ...

    def encode(self, image: F32) -> F32:
        """(3, 256, 256) in [0, 1] -> (C, H, W) embedding."""
        ...

    def decode(self, embedding: F32, boxes: F32, rois: F32) -> Decoded:
        """(C, H, W), (N, 4) and (N, 4), both in frame pixels -> low_res_logits and predicted IoU of N boxes."""
        ...


def in_batches(decode: Callable[[slice], Decoded], count: int) -> Decoded:
    """`decode` over at most MAX_BATCH of `count` boxes at a time, concatenated."""
    batches = [decode(slice(start, start + MAX_BATCH)) for start in range(0, count, MAX_BATCH)]
    return Decoded(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))


class Worker(Protocol):
    """An engine whose workers can be set."""

    workers: Sequence[Any]


Team = TypeVar("Team", bound=Worker)


def teams(make: Callable[[], Team], jobs: int, streams: int) -> list[Team]:
    """`jobs` engines, each the first of `streams` workers; `make` gives one worker."""
    engines = []
    for _ in range(jobs):
        workers = [make() for _ in range(streams)]
        workers[0].workers = workers
        engines.append(workers[0])
    return engines
