"""What every exporter begins with: the network in the form that is shipped, and its encoder as a module of its own."""

from torch import Tensor, nn

from repmedsam_infer.network import RepMedSAM, reparameterize


def shipped_form(model: RepMedSAM) -> RepMedSAM:
    """Return the network re-parameterized, every number rounded to fp16 and held as fp32."""
    fused = reparameterize(model)
    fused.load_state_dict({name: tensor.half().float() for name, tensor in fused.state_dict().items()})
    return fused


class Encoder(nn.Module):
    """`RepMedSAM.encode`, (1, 3, 256, 256) image -> (1, C, H, W) embedding, as a module of its own, for tracing."""

    def __init__(self, model: RepMedSAM) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return self.model.encode(image)
