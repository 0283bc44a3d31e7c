"""LiteMedSAM, the challenge's baseline: TinyViT encoder, SAM's heads at grid 64. Teacher and standard of comparison."""

from typing import ClassVar

from repmedsam_infer.network.repmedsam import IMAGE_SIZE
from repmedsam_train.comparison.tinyvit import TinyViT
from repmedsam_train.comparison.whole_square import WholeSquareNetwork


class LiteMedSAM(WholeSquareNetwork):
    """The square is the frame, of 256 pixels."""

    settings: ClassVar[dict[str, str]] = {"network": "litemedsam"}  # the metadata of a weight file

    def __init__(self) -> None:
        super().__init__(TinyViT(), IMAGE_SIZE)
