"""What can run the network. One is loaded by name; all give the same masks."""

from collections.abc import Callable
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import UsageError
from repmedsam_infer.weights import Weights

EngineName = Literal["openvino", "torch"]
MAX_BATCH = 64  # boxes decoded at once: more gain nothing and cost memory


class Engine(Protocol):
    """The network, loaded. G is the decoder's grid, C the embedding's channels (256, or 1024).

    Arrays that come back belong to the caller.
    """

    name: str
    version: str
    grid: int

    def encode(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """(3, 256, 256) in [0, 1] -> (C, G, G) embedding."""
        ...

    def decode(
        self, embedding: NDArray[np.float32], boxes: NDArray[np.float32], image_index: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(M, C, G, G), (N, 4) frame pixels, (N,) in 0..M-1 -> (N, 4G, 4G) low_res_logits."""
        ...


def load_engine(name: EngineName, weights: Weights, threads: int) -> Engine:
    """Load the network into an engine that uses `threads` threads.

    Raises:
        UsageError: there is no engine of this name.
        SetupError: the engine is not installed, or its weights are missing or damaged.

    """
    # Imported here: an engine costs a second of start-up, and only one is used.
    if name == "openvino":
        from repmedsam_infer.engines.openvino import OpenVINOEngine

        return OpenVINOEngine(weights, threads)
    if name == "torch":
        from repmedsam_infer.engines.torch import TorchEngine

        return TorchEngine(weights, threads)
    raise UsageError(f"there is no engine '{name}'; choose one of: {', '.join(get_args(EngineName))}")


def in_batches(
    decode: Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]],
    boxes: NDArray[np.float32],
    image_index: NDArray[np.int64],
) -> NDArray[np.float32]:
    """`decode` over at most MAX_BATCH boxes at a time, concatenated."""
    starts = range(0, len(boxes), MAX_BATCH)
    return np.concatenate([decode(boxes[i : i + MAX_BATCH], image_index[i : i + MAX_BATCH]) for i in starts])
