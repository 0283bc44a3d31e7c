"""The default engine: OpenVINO on the CPU, over weights stored as fp16. Needs no torch."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines import in_batches
from repmedsam_infer.engines.compiled import CompiledNetworks, compiled_networks
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.precision import ENCODERS, Precision
from repmedsam_infer.weights import Weights

F32 = NDArray[np.float32]
DECODER = "decoder"  # as the encoders, an .xml and a .bin in weights/
DECODER_INPUTS = ("embedding", "boxes", "windows")  # the last one only with focus
# Said aloud: by itself OpenVINO chooses by processor. What int8 leaves out stays fp32.
HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


class OpenVINOEngine:
    """See `engines.Engine`. `precision` is the encoder's; the decoder always runs in fp32, as bf16 moves its borders
    (mask IoU 0.979 instead of 0.9985, docs/experiments.md).
    """

    name = "openvino"

    def __init__(
        self,
        weights: Weights,
        threads: int,
        precision: Precision = "fp32",
        compiled: CompiledNetworks | None = None,
        keep: bool = False,
        streams: int = 1,
    ) -> None:
        """With `keep`, what had to be compiled is added to `compiled`, by default the folder in $REPMEDSAM_CACHE.

        `streams` is how many of its `twins` can run at a time, each with its share of the threads.
        """
        try:
            import openvino
        except ImportError as error:
            raise SetupError("the engine 'openvino' is not installed: pip install openvino") from error
        self.version = str(openvino.__version__).split("-")[0]
        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UsageError("this processor has no bf16 arithmetic: use --precision auto or fp32")
        self.precision = precision
        known = compiled_networks() if compiled is None else compiled

        def load(part: str, precision: Precision) -> Any:
            settings = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": HINTS[precision],
                "INFERENCE_NUM_THREADS": str(threads),
                "NUM_STREAMS": str(streams),
            }
            names = f"{part}.xml", f"{part}.bin"
            identity = str(openvino.__version__), precision, *(weights.sums.get(name, "") for name in names)
            blob = known.read(*identity)
            if blob is not None:
                try:
                    return core.import_model(openvino.Tensor(np.frombuffer(blob, np.uint8)), "CPU", settings)
                except RuntimeError:
                    pass  # an OpenVINO that calls itself the same: compile
            loaded = core.compile_model(weights.verified(*names)[0], "CPU", settings)
            if keep:
                known.write(loaded, *identity)
            return loaded

        try:
            encoder, decoder = at_once(lambda: load(ENCODERS[precision], precision), lambda: load(DECODER, "fp32"))
        except RuntimeError as error:
            raise SetupError(f"OpenVINO cannot load {weights.folder}: {str(error).splitlines()[0]}") from error
        self.networks: tuple[Any, Any] = encoder, decoder
        self.encoder: Any = encoder.create_infer_request()
        self.decoder: Any = decoder.create_infer_request()
        self.focus = len(decoder.inputs) == len(DECODER_INPUTS)
        self.grid = int(decoder.output(0).partial_shape[-1].get_length()) // 4

    def twin(self) -> "OpenVINOEngine":
        """Another engine on the same networks, for another thread."""
        other = copy.copy(self)
        other.encoder, other.decoder = (network.create_infer_request() for network in self.networks)
        return other

    def encode(self, image: F32) -> F32:
        self.encoder.infer([image[None]], share_inputs=True)
        # Copied: the output tensor is the next inference's, too.
        return np.array(self.encoder.get_output_tensor(0).data[0])

    def decode(self, embedding: F32, boxes: F32, windows: F32) -> F32:
        def decode(some: slice) -> F32:
            prompts = [boxes[some], *([windows[some]] if self.focus else [])]
            self.decoder.infer([embedding[None], *prompts], share_inputs=True)
            return np.array(self.decoder.get_output_tensor(0).data[:, 0])

        return in_batches(decode, len(boxes))


def at_once(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """Results of both, the first worked out in another thread; errors are raised here."""
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(first)
        other = second()
        return started.result(), other
