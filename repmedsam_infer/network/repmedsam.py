"""RepMedSAM: the whole network. Encode an image once, decode as many boxes on it as there are."""

from functools import partial
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from repmedsam_infer.network.contrast import Contrast
from repmedsam_infer.network.focus import Resampling, inside_rois, resamplings, rois_around, sample_rois
from repmedsam_infer.network.high_res import PACKED_CHANNELS, HighRes, unpack
from repmedsam_infer.network.mask_decoder import MaskDecoder, decode_frame
from repmedsam_infer.network.prompt_encoder import PromptEncoder, box_prior
from repmedsam_infer.network.repvit import EMBEDDING_CHANNELS, STAGES, STEM_CHANNELS, RepViT

Grid = Literal[16, 32, 64]
IMAGE_SIZE = 256


class RepMedSAM(nn.Module):
    """Box-prompted segmentation network.

    `grid` is the side of the decoder's grid G; logits have four times its side.

    `focus` is what we add to the published network. Without it the decoder covers the whole frame: the embedding,
    16 x 16 for a 256 x 256 image, is upsampled to the grid after the neck, without parameters, so that the same weights
    load at any grid. With it the decoder covers an ROI around each box (focus.py), takes the encoder's finer features
    (high_res.py), is prompted by the ellipse that fills the box (prompt_encoder.py), and compares inside with outside
    (contrast.py, refine.py). Both are stored with the weights, as `settings`.
    """

    def __init__(self, grid: Grid = 16, *, focus: bool = False) -> None:
        super().__init__()
        if grid not in get_args(Grid):
            raise ValueError(f"grid must be one of {get_args(Grid)}, not {grid}")
        self.grid = grid
        self.focus = focus
        self.image_encoder = RepViT()
        self.prompt_encoder = PromptEncoder()
        self.mask_decoder = MaskDecoder()
        self.high_res = HighRes(STAGES[1].channels, STAGES[0].channels, STEM_CHANNELS[0]) if focus else None
        self.contrast = Contrast() if focus else None

    @property
    def settings(self) -> dict[str, str]:
        """What `from_settings` makes an untrained network of the same make from; the metadata of a weight file."""
        return {"grid": str(self.grid), "focus": str(self.focus).lower()}

    @classmethod
    def from_settings(cls, settings: dict[str, str]) -> "RepMedSAM":
        """Raise ValueError where the settings are of no network of ours."""
        grid, focus = settings.get("grid", ""), settings.get("focus", "")
        if grid not in map(str, get_args(Grid)) or focus not in ("true", "false"):
            raise ValueError(f"not the settings of a RepMedSAM network: {settings}")
        return cls(int(grid), focus=focus == "true")  # type: ignore[arg-type]

    @property
    def embedding_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the embedding of a 256 x 256 image."""
        return (PACKED_CHANNELS, 16, 16) if self.focus else (EMBEDDING_CHANNELS, self.grid, self.grid)

    def encode(self, images: Tensor) -> Tensor:
        """(M, 3, S, S) float in [0, 1] -> embedding (M, C, H, W); S = 256, or smaller in early training.

        C, H, W for S = 256 are `embedding_shape`.
        """
        finest, fine, middle, coarse = self.image_encoder.pyramid(images)
        if self.high_res is not None:
            return self.high_res.pack(coarse, middle, fine, finest)
        return functional.interpolate(coarse, (self.grid, self.grid), mode="bilinear", align_corners=False)

    def decode(
        self, embedding: Tensor, boxes: Tensor, image_index: Tensor | None = None, rois: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All boxes in one batch.

        Args:
            embedding: (M, C, H, W) from `encode`.
            boxes: (N, 4) float, x_min y_min x_max y_max in pixels of the 256 x 256 frame, whatever S was.
            image_index: (N,) int64, the embedding that each box belongs to; may be left out where M = 1.
            rois: (N, 4) float, left, top, right and bottom edge of what the logits cover, in frame pixels; with
                `focus` those around the boxes where left out, without it always the whole frame.

        Returns:
            low_res_logits (N, 1, 4G, 4G), positive inside the mask, and iou (N, 1), the predicted IoU of each mask.

        Raises:
            ValueError: `image_index` is missing and M is not 1.

        """
        if image_index is None and embedding.shape[0] != 1:
            raise ValueError("image_index is needed where there is more than one embedding")
        return self.decode_prompts(embedding, self.prompts(boxes, rois, embedding.shape[-1]), image_index)

    def prompts(self, boxes: Tensor, rois: Tensor | None, side: int) -> tuple[Tensor, ...]:
        """All that becomes of boxes before they meet an image, whose embedding is `side` wide and high: the tokens of
        their corners; with `focus` also their prior, and how their rois are sampled.

        Apart from `decode_prompts`, as positions need more digits than bf16 has.
        """
        box_tokens = self.prompt_encoder(boxes, IMAGE_SIZE)
        if not self.focus:
            return (box_tokens,)
        if rois is None:
            rois = rois_around(boxes)
        prior = box_prior(inside_rois(boxes, rois, IMAGE_SIZE), 4 * self.grid, IMAGE_SIZE)
        resampled = resamplings(rois / IMAGE_SIZE, self.grid, side)
        return (box_tokens, prior, *(matrix for level in resampled for matrix in level))

    def decode_prompts(
        self, embedding: Tensor, prompts: tuple[Tensor, ...], image_index: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the rest of `decode`: what becomes of `prompts` and an embedding."""
        if self.high_res is None or self.contrast is None:
            return decode_frame(self.prompt_encoder, self.mask_decoder, embedding, prompts[0], image_index)
        box_tokens, prior, *matrices = prompts
        resampled = [Resampling(*pair) for pair in zip(matrices[::2], matrices[1::2], strict=True)]
        sampled = sample_rois(unpack(embedding), resampled, image_index)
        image_pe = self.prompt_encoder.pe_layer.grid(self.grid, self.grid)
        mask_of = partial(self.contrast, finest=sampled.finest, prior=prior)
        prompted = sampled.coarse + self.prompt_encoder.mask(prior)
        return self.mask_decoder(prompted, image_pe, box_tokens, self.high_res.skips(sampled), mask_of)

    def forward(self, images: Tensor, boxes: Tensor, image_index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`decode` of `encode`."""
        return self.decode(self.encode(images), boxes, image_index)
