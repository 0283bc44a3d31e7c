"""RepMedSAM: the whole network. Encode an image once, decode as many boxes on it as there are."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from repmedsam_infer.network.box_prior import box_prior
from repmedsam_infer.network.mask_decoder import MaskDecoder
from repmedsam_infer.network.prompt_encoder import PromptEncoder
from repmedsam_infer.network.repvit import RepViT

Grid = Literal[16, 32, 64]
IMAGE_SIZE = 256


class RepMedSAM(nn.Module):
    """Box-prompted segmentation network.

    `grid` is the side of the decoder's grid: the embedding, 16 x 16 for a 256 x 256 image, is upsampled to it after the
    neck, without parameters, so the same weights load at any grid. Logits have four times its side.
    `box_prior` says whether box_prior.py is added to the logits; published checkpoints were trained without it.
    Both are stored with the weights, as `settings`.
    """

    def __init__(self, grid: Grid = 16, box_prior: bool = False) -> None:
        super().__init__()
        if grid not in get_args(Grid):
            raise ValueError(f"grid must be one of {get_args(Grid)}, not {grid}")
        self.grid = grid
        self.box_prior = box_prior
        self.image_encoder = RepViT()
        self.prompt_encoder = PromptEncoder()
        self.mask_decoder = MaskDecoder()

    @property
    def settings(self) -> dict[str, str]:
        """What `from_settings` makes an untrained network of the same make from; the metadata of a weight file."""
        return {"grid": str(self.grid), "box_prior": str(self.box_prior).lower()}

    @classmethod
    def from_settings(cls, settings: dict[str, str]) -> "RepMedSAM":
        """Raises ValueError where the settings are of no network of ours."""
        grid, prior = settings.get("grid", ""), settings.get("box_prior", "")
        if grid not in map(str, get_args(Grid)) or prior not in ("true", "false"):
            raise ValueError(f"not the settings of a RepMedSAM network: {settings}")
        return cls(int(grid), prior == "true")  # type: ignore[arg-type]

    def encode(self, images: Tensor) -> Tensor:
        """(M, 3, S, S) float in [0, 1] -> (M, 256, G, G), G = `grid`; S = 256, or smaller in early training."""
        size = (self.grid, self.grid)  # where the embedding has it already, this changes nothing
        return functional.interpolate(self.image_encoder(images), size=size, mode="bilinear", align_corners=False)

    def decode(self, embedding: Tensor, boxes: Tensor, image_index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """All boxes in one batch.

        Args:
            embedding: (M, 256, G, G) from `encode`.
            boxes: (N, 4) float, x_min y_min x_max y_max in pixels of the 256 x 256 frame, whatever S was.
            image_index: (N,) int64, the embedding that each box belongs to; may be left out where M = 1.

        Returns:
            low_res_logits (N, 1, 4G, 4G), positive inside the mask, and iou (N, 1), the predicted IoU of each mask.

        Raises:
            ValueError: `image_index` is missing and M is not 1.

        """
        if image_index is None:
            if embedding.shape[0] != 1:
                raise ValueError("image_index is needed where there is more than one embedding")
            image_index = torch.zeros(boxes.shape[0], dtype=torch.int64, device=boxes.device)
        logits, iou = self.mask_decoder(
            embedding,
            self.prompt_encoder.pe_layer.grid(*embedding.shape[-2:]),
            self.prompt_encoder(boxes, IMAGE_SIZE),
            self.prompt_encoder.no_mask_embed.weight,
            image_index,
        )
        if self.box_prior:
            logits = logits + box_prior(boxes, logits.shape[-1], IMAGE_SIZE)
        return logits, iou

    def forward(self, images: Tensor, boxes: Tensor, image_index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`decode` of `encode`."""
        return self.decode(self.encode(images), boxes, image_index)
