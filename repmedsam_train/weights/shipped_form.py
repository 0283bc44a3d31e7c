"""What every exporter begins with: the network in the form that is shipped, and its encoder as a module of its own."""

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from repmedsam_infer.errors import SetupError
from repmedsam_infer.network import RepMedSAM, reparameterize

ENCODER = "image_encoder."


def stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a network in inference form as the weight file has them.

    The encoder's kernels are bf16: where the processor multiplies bf16 they are used as they lie there, which saves an
    eighth of the time that a small picture takes from start to end. All else is fp16, which is closer to fp32.
    Kernels are rounded to fp16 first, so that fp16 holds them as well: ONNX files have them so (onnx_export.py).

    Raises:
        SetupError: a number is not finite, or too large for fp16.

    """
    halves = {name: tensor.half().contiguous() for name, tensor in state.items()}
    for name, tensor in halves.items():
        if not tensor.isfinite().all():
            raise SetupError(f"{name} has numbers that are not finite or beyond fp16: use a network that trained well")
    return {
        name: tensor.bfloat16() if name.startswith(ENCODER) and tensor.ndim == 4 else tensor
        for name, tensor in halves.items()
    }


def shipped_form(model: RepMedSAM) -> RepMedSAM:
    """Return the network re-parameterized, every number rounded to how it is stored and held as fp32."""
    fused = reparameterize(model)
    fused.load_state_dict({name: tensor.float() for name, tensor in stored(fused.state_dict()).items()})
    return fused


class Encoder(nn.Module):
    """`RepMedSAM.encode`, (1, 3, 256, 256) image -> (1, C, H, W) embedding, as a module of its own, for tracing."""

    def __init__(self, model: RepMedSAM) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return self.model.encode(image)


class EncoderInBf16(nn.Module):
    """As `Encoder`, float32 in and out, whose every operation is in bf16. `model` is left as it is."""

    def __init__(self, model: RepMedSAM) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).bfloat16()

    def forward(self, image: Tensor) -> Tensor:
        return self.model.encode(image.bfloat16()).float()
