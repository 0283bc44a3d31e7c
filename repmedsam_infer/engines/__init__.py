"""What can run the network. One is loaded by name; all give the same masks."""

from collections.abc import Callable
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import UsageError
from repmedsam_infer.weights import Weights

F32 = NDArray[np.float32]
EngineName = Literal["openvino", "torch"]
Precision = Literal["auto", "fp32", "bf16"]  # of the encoder; auto: the fastest that is as accurate
MAX_BATCH = 16  # boxes decoded at once: more gain nothing and cost memory


class Engine(Protocol):
    """The network, loaded. G is the decoder's grid; `focus` says whether its logits cover windows, or the frame.

    Arrays that come back belong to the caller.
    """

    name: str
    version: str
    precision: Precision  # never auto
    grid: int
    focus: bool

    def encode(self, image: F32) -> F32:
        """(3, 256, 256) in [0, 1] -> (C, H, W) embedding."""
        ...

    def decode(self, embedding: F32, boxes: F32, windows: F32) -> F32:
        """(C, H, W), (N, 4) and (N, 4), both in frame pixels -> (N, 4G, 4G) low_res_logits."""
        ...


def load_engine(name: EngineName, weights: Weights, threads: int, precision: Precision = "auto") -> Engine:
    """Load the network into an engine that uses `threads` threads.

    Raises:
        UsageError: there is no engine of this name, or it cannot run in this precision.
        SetupError: the engine is not installed, or its weights are missing or damaged.

    """
    if precision not in get_args(Precision):
        raise UsageError(f"there is no precision '{precision}'; choose one of: {', '.join(get_args(Precision))}")
    # Imported here: an engine costs a second of start-up, and only one is used.
    if name == "openvino":
        from repmedsam_infer.engines.openvino import OpenVINOEngine

        return OpenVINOEngine(weights, threads, precision)
    if name == "torch":
        from repmedsam_infer.engines.torch import load

        if precision == "bf16":
            raise UsageError("the engine 'torch' is the reference and runs in fp32 only")
        return load(weights, threads)
    raise UsageError(f"there is no engine '{name}'; choose one of: {', '.join(get_args(EngineName))}")


def in_batches(decode: Callable[[slice], F32], count: int) -> F32:
    """`decode` over at most MAX_BATCH of `count` boxes at a time, concatenated."""
    return np.concatenate([decode(slice(start, start + MAX_BATCH)) for start in range(0, count, MAX_BATCH)])
