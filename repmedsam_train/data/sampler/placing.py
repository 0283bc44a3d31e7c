"""What is shown of slices, resized by area as OpenCV does it, into square images."""

import torch
from torch import Tensor

from repmedsam_train.data.sampler.source import Source, Window


def sizes_in_frame(window: Window, size: int) -> tuple[Tensor, Tensor]:
    """(B,) rows and columns int64 that a window takes in an image of `size` pixels, its axes not exchanged yet."""
    scale = size / torch.maximum(window.height, window.width).double()
    rows, columns = ((length * scale + 0.5).long().clamp(min=1) for length in (window.height, window.width))
    return rows, columns


def placed(source: Source, size: int) -> tuple[Tensor, Tensor]:
    """Images (B, 3, size, size) float32, whole numbers from 0 to 255, and where they are (B, 1, size, size) bool; 0
    elsewhere.
    """
    window = source.window
    rows, columns = sizes_in_frame(window, size)
    smaller = (window.height >= rows) & (window.width >= columns)
    down = resizing(size, source.side, window.top, window.height, rows, window.flip_y, smaller)
    across = resizing(size, source.side, window.left, window.width, columns, window.flip_x, smaller)
    images = products(source, down, across)
    at = torch.arange(size, device=rows.device)[None]
    shown = ((at < rows[:, None])[:, :, None] & (at < columns[:, None])[:, None, :])[:, None]
    exchanged = window.transpose[:, None, None, None]
    return torch.where(exchanged, images.mT, images).round(), torch.where(exchanged, shown.mT, shown)


def products(source: Source, down: Tensor, across: Tensor) -> Tensor:
    """down (B, size, side) @ pixels (B, 3, side, side) @ across.T; on a CPU grey slices cost a third."""
    if source.pixels.device.type != "cpu":
        return down[:, None] @ source.pixels @ across[:, None].mT
    images = torch.empty(len(down), 3, down.shape[1], across.shape[1])
    for grey, channels in ((True, 1), (False, 3)):
        rows = (source.grey == grey).nonzero()[:, 0]
        if len(rows):
            images[rows] = down[rows, None] @ source.pixels[rows, :channels] @ across[rows, None].mT
    return images


def resizing(
    count: int, side: int, first: Tensor, length: Tensor, wanted: Tensor, flipped: Tensor, smaller: Tensor
) -> Tensor:
    """(B, count, side) float32: what each pixel of an image takes of each pixel along a slice.

    The image has `wanted` (B,) pixels, the others take nothing; they show `length` pixels of the slice from `first` on,
    from the other end where `flipped`. As OpenCV's INTER_AREA has it: where the image becomes `smaller` (B,), means of
    what a pixel covers, otherwise linear interpolation between two that keeps to the pixels' areas.
    """
    i = torch.arange(count, device=first.device, dtype=torch.float32)[None, :, None]
    j = torch.arange(side, device=first.device)[None] - first[:, None]
    j = torch.where(flipped[:, None], length[:, None] - 1 - j, j)[:, None, :].float()
    length, wanted = length[:, None, None].float(), wanted[:, None, None].float()
    step = length / wanted
    means = (torch.minimum((i + 1) * step, j + 1) - torch.maximum(i * step, j)).clamp(min=0) / step
    before = (i * step + 1e-4).floor()
    part = (i + 1) - (before + 1) / step
    part = torch.where(part <= 0, 0, part - part.floor())
    after = torch.minimum(before + 1, length - 1)
    before = torch.minimum(before, length - 1)
    linear = (j == before) * (1 - part) + (j == after) * part
    there = (i < wanted) & (j >= 0) & (j < length)
    return torch.where(smaller[:, None, None], means, linear) * there
