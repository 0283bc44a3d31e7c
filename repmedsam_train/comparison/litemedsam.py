"""LiteMedSAM, the challenge's baseline: TinyViT encoder, SAM's heads at grid 64. Teacher and standard of comparison."""

from typing import ClassVar

from torch import Tensor, nn

from repmedsam_infer.network.mask_decoder import MaskDecoder, decode_frame
from repmedsam_infer.network.prompt_encoder import PromptEncoder
from repmedsam_infer.network.repmedsam import IMAGE_SIZE
from repmedsam_train.comparison.tinyvit import TinyViT


class LiteMedSAM(nn.Module):
    """Encode and decode as in `RepMedSAM`; embedding (M, 256, 64, 64), logits of 256 x 256."""

    grid = 64
    focus = False
    settings: ClassVar[dict[str, str]] = {"network": "litemedsam"}  # the metadata of a weight file

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = TinyViT()
        self.prompt_encoder = PromptEncoder()
        self.mask_decoder = MaskDecoder()

    def encode(self, images: Tensor) -> Tensor:
        """(M, 3, S, S) float in [0, 1] -> (M, 256, S / 4, S / 4)."""
        return self.image_encoder(images)

    def decode(
        self, embedding: Tensor, boxes: Tensor, image_index: Tensor | None = None, rois: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(M, 256, G, G), boxes (N, 4) in frame pixels, image_index (N,) -> logits (N, 1, 4G, 4G), iou (N, 1).

        The logits always cover the whole frame; `rois` is for networks that cover less.
        """
        del rois
        box_tokens = self.prompt_encoder(boxes, IMAGE_SIZE)
        return decode_frame(self.prompt_encoder, self.mask_decoder, embedding, box_tokens, image_index)
