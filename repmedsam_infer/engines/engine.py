"""What can run the network. One is loaded by name; all give the same masks."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.precision import Choice, Precision, choose_precision
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import UsageError

F32 = NDArray[np.float32]
EngineName = Literal["openvino", "torch"]
MAX_BATCH = 8  # boxes decoded at once: 4 to 16 take the same time a box within a few per cent, 8 the least


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


def load_engine(name: str, weights: Weights, threads: int, precision: str = "auto", volumes: bool = False) -> Engine:
    """Load the network into an engine that uses `threads` threads, for pictures or for volumes; either can do both.

    Raises:
        UsageError: there is no engine of this name, or it cannot run in this precision.
        SetupError: the engine is not installed, or its weights are missing or damaged.

    """
    return load_engines(name, weights, threads, precision, volumes, jobs=1)[0]


def load_engines(
    name: str, weights: Weights, threads: int, precision: str, volumes: bool, jobs: int
) -> Sequence[Engine]:
    """`jobs` engines that share their networks and `threads` threads, to be used at the same time.

    A picture has one image to encode, with all threads; of a volume every thread does slices of its own, which takes a
    fifth less time.

    Raises:
        UsageError, SetupError: as `load_engine` does; or the engine can do but one job at a time.

    """
    choice = check_engine(name, weights, precision, volumes)
    # Imported here: an engine costs a second of start-up, and only one is used.
    if name == "openvino":
        from repmedsam_infer.engines.openvino import load_openvino

        return load_openvino(weights, threads, choice.precision, jobs, max(1, threads // jobs) if volumes else 1)
    from repmedsam_infer.engines.torch import load

    if jobs > 1:
        raise UsageError("the engine 'torch' does one case at a time: leave out --jobs")
    return [load(weights, threads)]


def check_engine(name: str, weights: Weights, precision: str, volumes: bool) -> Choice:
    """The precision of that engine, which is not loaded yet.

    Raises:
        UsageError: there is no engine of this name, or it cannot run in this precision.
        SetupError: the weights cannot be had in this precision.

    """
    if name not in get_args(EngineName):
        raise UsageError(f"there is no engine '{name}'; choose one of: {', '.join(get_args(EngineName))}")
    if name == "torch" and precision not in ("auto", "fp32"):
        raise UsageError("the engine 'torch' is the reference and runs in fp32 only")
    return choose_precision(precision, weights, volumes)


def in_batches(decode: Callable[[slice], Decoded], count: int) -> Decoded:
    """`decode` over at most MAX_BATCH of `count` boxes at a time, concatenated."""
    batches = [decode(slice(start, start + MAX_BATCH)) for start in range(0, count, MAX_BATCH)]
    return Decoded(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))
