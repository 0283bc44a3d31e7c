"""The reference engine: the network's own definition, in torch. An optional extra."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.confidence import ConfidenceModel
from repmedsam_infer.engines.engine import Decoded, in_batches
from repmedsam_infer.engines.precision import Precision
from repmedsam_infer.engines.weights import STORE, Weights
from repmedsam_infer.errors import SetupError

F32 = NDArray[np.float32]


class Network(Protocol):
    """What this engine can run: RepMedSAM, and what is compared with it."""

    @property
    def grid(self) -> int: ...

    @property
    def focus(self) -> bool: ...

    def encode(self, images: Any) -> Any: ...

    def decode(self, embedding: Any, boxes: Any, *, rois: Any) -> tuple[Any, Any]: ...


class TorchEngine:
    """See `engines.Engine`."""

    name = "torch"
    precision: Precision = "fp32"

    def __init__(
        self, network: Network, calibration: Calibration | None = None, confidence: ConfidenceModel | None = None
    ) -> None:
        import torch

        self.torch = torch
        self.version = str(torch.__version__)
        self.model = network
        self.grid, self.focus = int(network.grid), bool(network.focus)
        self.calibration, self.confidence = calibration or Calibration(), confidence
        self.workers = [self]  # torch's threads are the process's

    def encode(self, image: F32) -> F32:
        with self.torch.inference_mode():
            return self.model.encode(self.torch.from_numpy(image[None]))[0].contiguous().numpy()

    def decode(self, embedding: F32, boxes: F32, rois: F32) -> Decoded:
        from_numpy = self.torch.from_numpy

        def decode(some: slice) -> Decoded:
            with self.torch.inference_mode():
                logits, iou = self.model.decode(
                    from_numpy(embedding[None]), from_numpy(boxes[some]), rois=from_numpy(rois[some])
                )
            return Decoded(logits[:, 0].numpy(), iou[:, 0].numpy())

        return in_batches(decode, len(boxes))


def load(weights: Weights, threads: int) -> TorchEngine:
    """Return the engine with weights that were exported.

    Raises:
        SetupError: torch is not installed, or the weights are missing or damaged.

    """
    try:
        import torch
        from safetensors import SafetensorError

        from repmedsam_infer.engines.weights import read_tensors
        from repmedsam_infer.network import RepMedSAM, reparameterize
    except ImportError as error:
        raise SetupError("the engine 'torch' is not installed: pip install 'repmedsam[torch]'") from error
    (path,) = weights.verified(STORE)
    torch.set_num_threads(threads)
    try:
        state, settings = read_tensors(path)
    except (SafetensorError, OSError, ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise SetupError(f"{path} is damaged: {str(error).splitlines()[0]}; fetch the weights again") from error
    try:
        model = reparameterize(RepMedSAM.from_settings(settings))
        model.load_state_dict(state)
    except (ValueError, RuntimeError) as error:
        raise SetupError(f"{path} does not fit the network: {str(error).splitlines()[0]}") from error
    model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TorchEngine(model, weights.calibration(), weights.confidence())
