"""RepMedSAM: the whole network. Encode an image once, decode as many boxes on it as there are."""

from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from repmedsam_infer.network.box_prior import box_prior
from repmedsam_infer.network.contrast import Contrast
from repmedsam_infer.network.high_res import PACKED_CHANNELS, HighRes, Skips, unpack
from repmedsam_infer.network.mask_decoder import MaskDecoder
from repmedsam_infer.network.prompt_encoder import PromptEncoder
from repmedsam_infer.network.repvit import EMBEDDING_CHANNELS, STAGES, RepViT

Grid = Literal[16, 32, 64]
IMAGE_SIZE = 256


class RepMedSAM(nn.Module):
    """Box-prompted segmentation network.

    `grid` is the side of the decoder's grid: the embedding, 16 x 16 for a 256 x 256 image, is upsampled to it after the
    neck, without parameters, so the same weights load at any grid. Logits have four times its side.
    `box_prior` says whether the ellipse in each box (box_prior.py) is given to the decoder as a mask prompt, added to
    its logits, and used to compare inside with outside (contrast.py); published checkpoints were trained without it.
    `high_res` says whether the encoder's finer features reach the decoder (high_res.py); the embedding then has 1024
    channels instead of 256. All three are stored with the weights, as `settings`.
    """

    def __init__(self, grid: Grid = 16, box_prior: bool = False, high_res: bool = False) -> None:
        super().__init__()
        if grid not in get_args(Grid):
            raise ValueError(f"grid must be one of {get_args(Grid)}, not {grid}")
        self.grid = grid
        self.box_prior = box_prior
        self.image_encoder = RepViT()
        self.prompt_encoder = PromptEncoder()
        self.mask_decoder = MaskDecoder()
        self.high_res = HighRes(STAGES[1].channels, STAGES[0].channels) if high_res else None
        self.contrast = Contrast() if box_prior else None
        self.embedding_channels = PACKED_CHANNELS if high_res else EMBEDDING_CHANNELS

    @property
    def settings(self) -> dict[str, str]:
        """What `from_settings` makes an untrained network of the same make from; the metadata of a weight file."""
        flags = {"box_prior": self.box_prior, "high_res": self.high_res is not None}
        return {"grid": str(self.grid), **{name: str(flag).lower() for name, flag in flags.items()}}

    @classmethod
    def from_settings(cls, settings: dict[str, str]) -> "RepMedSAM":
        """Raises ValueError where the settings are of no network of ours."""
        grid, flags = settings.get("grid", ""), [settings.get(name, "") for name in ("box_prior", "high_res")]
        if grid not in map(str, get_args(Grid)) or not {"true", "false"}.issuperset(flags):
            raise ValueError(f"not the settings of a RepMedSAM network: {settings}")
        return cls(int(grid), *(flag == "true" for flag in flags))  # type: ignore[arg-type]

    def encode(self, images: Tensor) -> Tensor:
        """(M, 3, S, S) float in [0, 1] -> (M, C, G, G), G = `grid`; S = 256, or smaller in early training.

        C is `embedding_channels`.
        """
        fine, middle, embedding = self.image_encoder.pyramid(images)
        # Where the embedding has the grid's side already, this changes nothing.
        embedding = functional.interpolate(embedding, (self.grid, self.grid), mode="bilinear", align_corners=False)
        return embedding if self.high_res is None else self.high_res(embedding, middle, fine)

    def decode(self, embedding: Tensor, boxes: Tensor, image_index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """All boxes in one batch.

        Args:
            embedding: (M, C, G, G) from `encode`.
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
        skips: Skips | None = None
        if self.high_res is not None:
            embedding, per_image = unpack(embedding)
            skips = Skips(*(x[image_index] for x in per_image))
        image_pe = self.prompt_encoder.pe_layer.grid(*embedding.shape[-2:])
        box_tokens = self.prompt_encoder(boxes, IMAGE_SIZE)
        if self.contrast is None:
            prompted = embedding + self.prompt_encoder.no_mask()
            return self.mask_decoder(prompted, image_pe, box_tokens, image_index, skips)
        prior = box_prior(boxes, 4 * embedding.shape[-1], IMAGE_SIZE)
        prompted = embedding[image_index] + self.prompt_encoder.mask(prior)
        mask_of = partial(self.contrast, prior=prior)
        return self.mask_decoder(prompted, image_pe, box_tokens, None, skips, mask_of)

    def forward(self, images: Tensor, boxes: Tensor, image_index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`decode` of `encode`."""
        return self.decode(self.encode(images), boxes, image_index)
