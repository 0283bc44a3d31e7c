"""The default engine: OpenVINO on the CPU, fp32 arithmetic over weights stored as fp16. Needs no torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines import in_batches
from repmedsam_infer.errors import SetupError
from repmedsam_infer.weights import Weights

F32 = NDArray[np.float32]
ENCODER, DECODER = "encoder", "decoder"  # each an .xml and a .bin in weights/
DECODER_INPUTS = ("embedding", "boxes", "windows")  # the last one only with focus


class OpenVINOEngine:
    """See `engines.Engine`."""

    name = "openvino"

    def __init__(self, weights: Weights, threads: int) -> None:
        try:
            import openvino
        except ImportError as error:
            raise SetupError("the engine 'openvino' is not installed: pip install openvino") from error
        self.version = str(openvino.__version__).split("-")[0]
        paths = {part: weights.verified(f"{part}.xml", f"{part}.bin")[0] for part in (ENCODER, DECODER)}
        core = openvino.Core()
        # f32 is said aloud: on some processors OpenVINO would choose bf16 by itself.
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": str(threads),
        }
        try:
            compiled = {part: core.compile_model(path, "CPU", settings) for part, path in paths.items()}
        except RuntimeError as error:
            raise SetupError(f"OpenVINO cannot load {weights.folder}: {str(error).splitlines()[0]}") from error
        self.encoder: Any = compiled[ENCODER].create_infer_request()
        self.decoder: Any = compiled[DECODER].create_infer_request()
        self.focus = len(compiled[DECODER].inputs) == len(DECODER_INPUTS)
        self.grid = int(compiled[DECODER].output(0).partial_shape[-1].get_length()) // 4

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
