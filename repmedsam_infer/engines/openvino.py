"""The default engine: OpenVINO on the CPU. Needs no torch.

Its graphs are .xml files whose constants lie in the weight file that all engines share; the int8 encoder has a .bin.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.compiled_cache import CompiledNetworks, compiled_networks
from repmedsam_infer.engines.confidence import ConfidenceModel
from repmedsam_infer.engines.engine import Decoded, in_batches
from repmedsam_infer.engines.openvino_import import import_openvino
from repmedsam_infer.engines.precision import ENCODERS, Precision, unquantized
from repmedsam_infer.engines.weights import STORE, Weights
from repmedsam_infer.errors import SetupError, UsageError

F32 = NDArray[np.float32]
# Graphs, as the encoders are. Prompts are worked out apart, in fp32: positions need its digits, and masks follow (with
# all of the decoder in bf16 their IoU is 0.98, so 0.998; docs/experiments.md).
PROMPTS, DECODER = "prompts", "decoder"
PROMPT_INPUTS = ("boxes", "rois")  # the last one only with focus
HINTS: dict[Literal["fp32", "bf16"], str] = {"fp32": "f32", "bf16": "bf16"}  # said aloud: OpenVINO would choose itself


class Networks(NamedTuple):
    """What an engine runs, compiled, and what is cache about it."""

    encoder: Any
    prompts: Any
    decoder: Any
    precision: Precision
    version: str
    calibration: Calibration
    confidence: ConfidenceModel | None


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
    weights: Weights, threads: int, precision: Precision, jobs: int = 1, streams: int = 1
) -> list[OpenVINOEngine]:
    """`jobs` engines, each of `streams` that work together, on the same networks and `threads` threads in all.

    Raises:
        UsageError: this processor cannot run in this precision.
        SetupError: OpenVINO is not installed, or the weights are missing or damaged.

    """
    networks = load_networks(weights, threads, precision, jobs * streams, compiled_networks(), keep=False)
    engines = []
    for _ in range(jobs):
        workers = [OpenVINOEngine(networks) for _ in range(streams)]
        workers[0].workers = workers
        engines.append(workers[0])
    return engines


def load_networks(
    weights: Weights, threads: int, precision: Precision, streams: int, cache: CompiledNetworks, *, keep: bool
) -> Networks:
    """Return the networks from `cache` where they are there, else compiled; with `keep` they are added to it.

    Raises:
        UsageError, SetupError: as `load_openvino`.
        OSError: with `keep`, where `cache` cannot be written.

    """
    try:
        openvino = import_openvino()
    except ImportError as error:
        raise SetupError("the engine 'openvino' is not installed: pip install openvino") from error
    core = openvino.Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UsageError("this processor has no bf16 arithmetic: use --precision auto or fp32")
    arithmetic, calibration, confidence = unquantized(precision), weights.calibration(), weights.confidence()

    def load(part: str, arithmetic: Literal["fp32", "bf16"]) -> Any:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": HINTS[arithmetic],
            "INFERENCE_NUM_THREADS": str(threads),
            "NUM_STREAMS": str(streams),
            "ENABLE_CPU_PINNING": "NO",  # two networks' threads would be pinned to one core, and leave another idle
        }
        names = f"{part}.xml", numbers_of(part)
        identity = str(openvino.__version__), arithmetic, *(weights.sums.get(name, "") for name in names)
        blob = cache.read(*identity)
        if blob is not None:
            try:
                return core.import_model(openvino.Tensor(np.frombuffer(blob, np.uint8)), "CPU", settings)
            except RuntimeError:
                pass  # an OpenVINO that calls itself the same: compile
        loaded = core.compile_model(core.read_model(*weights.verified(*names)), "CPU", settings)
        if keep:
            cache.write(loaded, *identity)
        return loaded

    try:
        encoder, (prompts, decoder) = in_parallel(
            lambda: load(ENCODERS[precision], arithmetic),
            lambda: (warmed_up(load(PROMPTS, "fp32")), warmed_up(load(DECODER, arithmetic))),
        )
    except RuntimeError as error:
        raise SetupError(f"OpenVINO cannot load {weights.folder}: {str(error).splitlines()[0]}") from error
    version = str(openvino.__version__).split("-")[0]
    return Networks(encoder, prompts, decoder, precision, version, calibration, confidence)


def numbers_of(graph: str) -> str:
    """Return the file that the constants of a graph lie in."""
    return f"{graph}.bin" if graph == ENCODERS["int8"] else STORE


def warmed_up(network: Any) -> Any:
    """Run the network for a single box and return it: its kernels are made at the first run, and here there is time."""
    network.create_infer_request().infer(
        [np.zeros([1 if side.is_dynamic else side.get_length() for side in port.partial_shape], np.float32)
         for port in network.inputs]
    )  # fmt: skip
    return network


def in_parallel(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """Results of both, the first worked out in another thread; errors are raised here."""
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(first)
        other = second()
        return started.result(), other
