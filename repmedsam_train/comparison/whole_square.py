"""What the networks that RepMedSAM is compared with have in common: SAM's heads at grid 64, over a whole square."""

from torch import Tensor, nn

from repmedsam_infer.network.mask_decoder import MaskDecoder, decode_frame
from repmedsam_infer.network.prompt_encoder import PromptEncoder


class WholeSquareNetwork(nn.Module):
    """Encode and decode as in `RepMedSAM`; embedding (M, 256, 64, 64), logits of 256 x 256 over `size` x `size` pixels.

    image_encoder: (M, 3, size, size) float in [0, 1] -> (M, 256, 64, 64).
    """

    grid = 64
    focus = False

    def __init__(self, image_encoder: nn.Module, size: int) -> None:
        super().__init__()
        self.size = size
        self.image_encoder = image_encoder
        self.prompt_encoder = PromptEncoder()
        self.mask_decoder = MaskDecoder()

    def encode(self, images: Tensor) -> Tensor:
        """(M, 3, S, S) float in [0, 1] -> (M, 256, G, G); smaller S than `size` gives smaller G."""
        return self.image_encoder(images)

    def decode(
        self, embedding: Tensor, boxes: Tensor, image_index: Tensor | None = None, rois: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(M, 256, G, G), boxes (N, 4) in pixels of the square, image_index (N,) -> logits (N, 1, 4G, 4G), iou (N, 1).

        The logits always cover the whole square; `rois` is for networks that cover less.
        """
        del rois
        box_tokens = self.prompt_encoder(boxes, self.size)
        return decode_frame(self.prompt_encoder, self.mask_decoder, embedding, box_tokens, image_index)
