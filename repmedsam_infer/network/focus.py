"""The ROI of each box, resampled from the embedding to the decoder's grid: the decoder's input in a `focus` network.

An ROI is an axis-aligned rectangle, so that bilinear sampling is two small matrix products, which every engine does
fast. RepMedSAM's own; as RoIAlign is for Mask R-CNN, but with one sample a cell, as rois are hardly ever reduced.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from repmedsam_infer.decoder_roi import SHIFT, WIDEN
from repmedsam_infer.network.high_res import FOLDS, Pyramid


def rois_around(boxes: Tensor) -> Tensor:
    """As `repmedsam_infer.decoder_roi.rois_around`."""
    return boxes @ boxes.new_tensor(WIDEN) + boxes.new_tensor(SHIFT)


def inside_rois(boxes: Tensor, rois: Tensor, size: int) -> Tensor:
    """(N, 4) inclusive boxes in frame pixels -> the same in pixels of rois that are `size` pixels wide and high."""
    scale = size / (rois[:, 2:] - rois[:, :2]).repeat(1, 2)
    edge = boxes.new_tensor([0, 0, 1, 1])
    return (boxes + edge - rois[:, :2].repeat(1, 2)) * scale - edge


class Resampling(NamedTuple):
    """(N, side, H) and (N, side, W) matrices that take samples of rois from the rows and columns of an image."""

    down: Tensor
    across: Tensor

    def of(self, x: Tensor) -> Tensor:
        """(N, C, H, W), or (1, C, H, W) for all -> (N, C, side, side)."""
        rows = self.down[:, None] @ x  # (N, C, side, W)
        # One product for all channels of a box, not one for each.
        return (rows.flatten(1, 2) @ self.across.transpose(1, 2)).unflatten(1, rows.shape[1:3])

    def positions_of(self, x: Tensor, *, shared: bool) -> Tensor:
        """(N, C, H, W), or `shared` (1, C, H, W) -> (N, side * side, C), as a transformer takes it: rows first."""
        side, (_, channels, height, width) = self.down.shape[1], x.shape
        by_row = x.permute(0, 2, 3, 1).flatten(2)  # (N, H, W * C)
        rows = self.down.reshape(-1, height) @ by_row[0] if shared else self.down @ by_row  # one product, or one a box
        return (self.across[:, None] @ rows.reshape(-1, side, width, channels)).flatten(1, 2)


def resamplings(rois: Tensor, grid: int, side: int) -> list[Resampling]:
    """Prepare `sample_rois` for (N, 4) rois in units of the image's sides: one item a level of a pyramid whose coarsest
    is `side` wide and high: the embedding is sampled at `grid` positions a side, middle at twice, fine and finest at
    four times that.
    """
    levels = zip((grid, 2 * grid, 4 * grid, 4 * grid), FOLDS, strict=True)
    return [resample(rois, to, fold * side) for to, fold in levels]


def resample(rois: Tensor, side: int, count: int) -> Resampling:
    """Of (N, 4) rois in units of the image's sides, from `count` to `side` samples along both axes."""
    return Resampling(*(interpolation(rois[:, i], rois[:, i + 2], side, count) for i in (1, 0)))


def sample_rois(pyramid: Pyramid, resampled: list[Resampling], image_index: Tensor | None) -> Pyramid:
    """Pyramid of M images -> that of N rois, but for `coarse`, which comes by position: (N, side * side, C).

    `image_index` (N,) is each roi's image, None where M = 1.
    """
    coarse, *finer = pyramid if image_index is None else (x[image_index] for x in pyramid)
    of_coarse, *of_finer = resampled
    by_position = of_coarse.positions_of(coarse, shared=image_index is None)
    return Pyramid(by_position, *(to.of(x) for x, to in zip(finer, of_finer, strict=True)))


def interpolation(low: Tensor, high: Tensor, side: int, count: int) -> Tensor:
    """(N,) ends of rois -> (N, side, count) matrices that interpolate linearly between `count` samples."""
    step = (torch.arange(side, device=low.device, dtype=low.dtype) + 0.5) / side
    at = (low[:, None] + (high - low)[:, None] * step) * count - 0.5
    index = torch.arange(count, device=low.device, dtype=low.dtype)
    return (1 - (at.clamp(0, count - 1)[..., None] - index).abs()).clamp(min=0)
