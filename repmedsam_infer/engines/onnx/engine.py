"""ONNX Runtime on the CPU, for machines that OpenVINO does not serve; fp32. Needs no torch."""

import shlex
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.confidence import ConfidenceModel
from repmedsam_infer.engines.engine import Decoded, in_batches, teams
from repmedsam_infer.engines.onnx.files import BOXES, DECODER, ENCODER, ROIS, check_ports
from repmedsam_infer.engines.ports import EMBEDDING, IMAGE
from repmedsam_infer.engines.precision import Precision
from repmedsam_infer.engines.weights import STORE, Weights
from repmedsam_infer.errors import SetupError, printable

F32 = NDArray[np.float32]
SILENT = 4  # of ONNX Runtime's log levels: what goes wrong is raised as well


class OnnxEngine:
    """See `engines.Engine`. Sessions may be shared: threads can run one at the same time."""

    name = "onnxruntime"
    precision: Precision = "fp32"

    def __init__(
        self, encoder: Any, decoder: Any, version: str, calibration: Calibration, confidence: ConfidenceModel | None
    ) -> None:
        self.encoder, self.decoder, self.version = encoder, decoder, version
        self.calibration, self.confidence = calibration, confidence
        self.focus = any(port.name == ROIS for port in decoder.get_inputs())
        self.grid = int(decoder.get_outputs()[0].shape[-1]) // 4
        self.workers: Sequence[OnnxEngine] = [self]

    def encode(self, image: F32) -> F32:
        return self.encoder.run(None, {IMAGE: image[None]})[0][0]

    def decode(self, embedding: F32, boxes: F32, rois: F32) -> Decoded:
        def decode(some: slice) -> Decoded:
            given = {EMBEDDING: embedding[None], BOXES: boxes[some]}
            return Decoded(*self.decoder.run(None, given | {ROIS: rois[some]} if self.focus else given))

        return in_batches(decode, len(boxes))


def load_onnx(weights: Weights, threads: int, jobs: int = 1, streams: int = 1) -> list[OnnxEngine]:
    """`jobs` engines, each of `streams` that work together, on the same sessions and `threads` threads in all.

    Raises:
        SetupError: ONNX Runtime is not installed, or the files are missing or damaged.

    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise SetupError("the engine 'onnxruntime' is not installed: pip install 'repmedsam[onnx]'") from error
    onnxruntime.disable_telemetry_events()  # its builds for Windows have some
    paths = weights.verified(*present_files(weights))
    options = onnxruntime.SessionOptions()
    # Whoever calls a session computes as well, beside the session's own threads, which all callers share.
    options.intra_op_num_threads = max(1, threads - jobs * streams + 1)
    options.inter_op_num_threads = 1
    # Each session's threads spin between its operations; spinning on would slow down what comes next, by up to 15 %.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = SILENT
    faults: tuple[type[Exception], ...] = (RuntimeError, ValueError, *filter(is_fault, vars(state).values()))
    try:
        encoder, decoder = (
            onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in paths
        )
        check_ports(encoder, decoder)
        calibration = Calibration.from_metadata(decoder.get_modelmeta().custom_metadata_map)
    except faults as error:
        why = printable(" ".join(str(error).split()), 200)
        raise SetupError(f"ONNX Runtime cannot load {ENCODER} and {DECODER} of {weights.folder}: {why}") from error
    confidence, version = weights.confidence(), str(onnxruntime.__version__)
    return teams(lambda: OnnxEngine(encoder, decoder, version, calibration, confidence), jobs, streams)


def present_files(weights: Weights) -> tuple[str, str]:
    """Return the names of both files. Raises SetupError with the command that makes them where weights lack them."""
    if ENCODER in weights.sums and DECODER in weights.sums:
        return ENCODER, DECODER
    store = shlex.quote(str(weights.folder / STORE))
    raise SetupError(
        f"the weights in {weights.folder} have no ONNX files: make them with `repmedsam-train export {store} onnx "
        "--onnx` (it needs pip install 'repmedsam[train]'), and use them with --weights onnx"
    )


def is_fault(kind: Any) -> TypeGuard[type[Exception]]:
    """Whether it is one of the kinds of exceptions that ONNX Runtime raises: they have no base of their own."""
    return isinstance(kind, type) and issubclass(kind, Exception)
