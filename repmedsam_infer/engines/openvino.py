"""The default engine: OpenVINO on the CPU. Needs no torch."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.compiled_cache import compiled_networks
from repmedsam_infer.engines.engine import Decoded, in_batches
from repmedsam_infer.engines.openvino_networks import Networks, load_networks
from repmedsam_infer.engines.ports import PROMPT_INPUTS
from repmedsam_infer.engines.precision import Precision
from repmedsam_infer.engines.weights import Weights

F32 = NDArray[np.float32]


class OpenVINOEngine:
    """See `engines.Engine`."""

    name = "openvino"

    def __init__(self, networks: Networks) -> None:
        self.precision, self.version = networks.precision, networks.version
        self.calibration, self.confidence = networks.calibration, networks.confidence
        self.encoder, self.prompts, self.decoder = (network.create_infer_request() for network in networks[:3])
        self.focus = len(networks.prompts.inputs) == len(PROMPT_INPUTS)
        self.grid = int(networks.decoder.output(0).partial_shape[-1].get_length()) // 4
        self.workers: Sequence[OpenVINOEngine] = [self]

    def encode(self, image: F32) -> F32:
        self.encoder.infer([image[None]], share_inputs=True)
        # Copied: the output tensor is the next inference's, too.
        return np.array(self.encoder.get_output_tensor(0).data[0])

    def decode(self, embedding: F32, boxes: F32, rois: F32) -> Decoded:
        def decode(some: slice) -> Decoded:
            self.prompts.infer([boxes[some], rois[some]] if self.focus else [boxes[some]], share_inputs=True)
            prompts = [tensor.data for tensor in self.prompts.output_tensors]
            self.decoder.infer([embedding[None], *prompts], share_inputs=True)
            logits, iou = (self.decoder.get_output_tensor(i).data for i in range(2))
            return Decoded(np.array(logits[:, 0]), np.array(iou[:, 0]))  # copied, as above

        return in_batches(decode, len(boxes))


def load_openvino(
    weights: Weights, threads: int, precision: Precision, jobs: int = 1, streams: int = 1,
    busy: Callable[[], None] = lambda: None,
) -> list[OpenVINOEngine]:  # fmt: skip
    """`jobs` engines, each of `streams` that work together, on the same networks and `threads` threads in all.

    busy: called when the encoder, which takes longest, begins to be imported.

    Raises:
        UsageError: this processor cannot run in this precision.
        SetupError: OpenVINO is not installed, or the weights are missing or damaged.

    """
    networks = load_networks(weights, threads, precision, jobs * streams, compiled_networks(), keep=False, busy=busy)
    engines = []
    for _ in range(jobs):
        workers = [OpenVINOEngine(networks) for _ in range(streams)]
        workers[0].workers = workers
        engines.append(workers[0])
    return engines
