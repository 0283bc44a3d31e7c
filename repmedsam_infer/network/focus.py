"""What the decoder of a `focus` network sees of an embedding: each box's window, resampled to the decoder's grid.

A window is an axis-aligned rectangle, so that bilinear sampling is two small matrix products, which every engine does
fast. RepMedSAM's own; as RoIAlign is for Mask R-CNN, but with one sample a cell, as windows are hardly ever reduced.
"""

import torch
from torch import Tensor

from repmedsam_infer.network.high_res import Pyramid
from repmedsam_infer.window import SHIFT, WIDEN


def windows_around(boxes: Tensor) -> Tensor:
    """As `repmedsam_infer.window.windows_around`."""
    return boxes @ boxes.new_tensor(WIDEN) + boxes.new_tensor(SHIFT)


def inside_windows(boxes: Tensor, windows: Tensor, size: int) -> Tensor:
    """(N, 4) inclusive boxes in frame pixels -> the same in pixels of windows that are `size` pixels wide and high."""
    scale = size / (windows[:, 2:] - windows[:, :2]).repeat(1, 2)
    edge = boxes.new_tensor([0, 0, 1, 1])
    return (boxes + edge - windows[:, :2].repeat(1, 2)) * scale - edge


def look(pyramid: Pyramid, windows: Tensor, image_index: Tensor | None, grid: int, image_size: int) -> Pyramid:
    """Pyramid of M images -> that of N windows (N, 4), in pixels of an `image_size` square.

    The embedding is sampled at `grid` positions a side, middle at twice and fine and finest at four times that.
    `image_index` (N,) is the image that each window is of; None where M = 1.
    """
    sides = (grid, 2 * grid, 4 * grid, 4 * grid)
    of_windows = pyramid if image_index is None else (x[image_index] for x in pyramid)
    return Pyramid(*(sample(x, windows / image_size, side) for x, side in zip(of_windows, sides, strict=True)))


def sample(x: Tensor, windows: Tensor, side: int) -> Tensor:
    """(N, C, H, W), or (1, C, H, W) for all, and (N, 4) windows in units of the image's sides -> (N, C, side, side)."""
    across = resampling(windows[:, 0], windows[:, 2], side, x.shape[-1])
    down = resampling(windows[:, 1], windows[:, 3], side, x.shape[-2])
    return down[:, None] @ x @ across[:, None].transpose(2, 3)


def resampling(low: Tensor, high: Tensor, side: int, count: int) -> Tensor:
    """(N,) ends of windows -> (N, side, count) matrices that interpolate linearly between `count` samples."""
    step = (torch.arange(side, device=low.device, dtype=low.dtype) + 0.5) / side
    at = (low[:, None] + (high - low)[:, None] * step) * count - 0.5
    index = torch.arange(count, device=low.device, dtype=low.dtype)
    return (1 - (at.clamp(0, count - 1)[..., None] - index).abs()).clamp(min=0)
