"""What is shown of slices, resized by area as OpenCV does it, into square images."""

import math

import torch
from torch import Tensor

from repmedsam_train.data.sampler.chance import on_host
from repmedsam_train.data.sampler.source import Source, View


def sizes_in_frame(view: View, size: int) -> tuple[Tensor, Tensor]:
    """(B,) rows and columns int64 that a view takes in an image of `size` pixels, its axes not exchanged yet."""
    scale = size / torch.maximum(view.height, view.width).double()
    rows, columns = ((length * scale + 0.5).long().clamp(min=1) for length in (view.height, view.width))
    return rows, columns


def placed(source: Source, size: int) -> tuple[Tensor, Tensor]:
    """Images (B, 3, size, size) float32, whole numbers from 0 to 255, and where they are (B, 1, size, size) bool; 0
    elsewhere.
    """
    view = source.view
    rows, columns = sizes_in_frame(view, size)
    smaller = (view.height >= rows) & (view.width >= columns)
    down = Resizing(size, view.top, view.height, rows, view.flip_y, smaller)
    across = Resizing(size, view.left, view.width, columns, view.flip_x, smaller)
    images = (by_taps if on_host(source.pixels) else by_matrices)(source, down, across)
    at = torch.arange(size, device=rows.device)[None]
    shown = ((at < rows[:, None])[:, :, None] & (at < columns[:, None])[:, None, :])[:, None]
    exchanged = view.transpose[:, None, None, None]
    return torch.where(exchanged, images.mT, images).round(), torch.where(exchanged, shown.mT, shown)


class Resizing:
    """Along one axis of B slices: `length` pixels from `first` on, from the other end where `flipped`, become the first
    `wanted` of `count`; the others take nothing.

    As OpenCV's INTER_AREA has it: where the image becomes `smaller`, means of what a pixel covers, otherwise linear
    interpolation between two that keeps to the pixels' areas. All arguments but `count` are (B,).
    """

    def __init__(
        self, count: int, first: Tensor, length: Tensor, wanted: Tensor, flipped: Tensor, smaller: Tensor
    ) -> None:
        self.first, self.length, self.wanted = (x[:, None, None] for x in (first, length, wanted))
        self.flipped, self.smaller = flipped[:, None, None], smaller[:, None, None]
        self.step = self.length / self.wanted
        self.i = torch.arange(count, device=first.device, dtype=torch.float32)[None, :, None]
        # Of two pixels the one before, and what the one after weighs: in OpenCV's own steps, whose rounding decides
        # where a border between pixels falls on one.
        enlarging = self.wanted.double() / self.length
        before = (self.i.double() * (1 / enlarging)).floor()
        part = ((self.i.double() + 1) - (before + 1) * enlarging).float()
        self.part, self.before = torch.where(part <= 0, 0, part - part.floor()), before.float()

    def weights(self, j: Tensor) -> Tensor:
        """(B, count or 1, J) pixels from `first` on, float32 -> (B, count, J): what each of the image takes of them."""
        i, step, last = self.i, self.step, self.length - 1
        means = (torch.minimum((i + 1) * step, j + 1) - torch.maximum(i * step, j)).clamp(min=0) / step
        low, high = torch.minimum(self.before, last), torch.minimum(self.before + 1, last)
        linear = (j == low) * (1 - self.part) + (j == high) * self.part
        there = (i < self.wanted) & (j >= 0) & (j <= last)
        return torch.where(self.smaller, means, linear) * there

    def matrix(self, side: int) -> Tensor:
        """(B, count, side): weights of all pixels along the slice."""
        j = torch.arange(side, device=self.i.device) - self.first
        return self.weights(torch.where(self.flipped, self.length - 1 - j, j).float())

    def taps(self) -> tuple[Tensor, Tensor]:
        """(B, J, count) pixels from `first` on that are taken of, int64, and their weights (B, J, count, 1)."""
        most = max(1, math.ceil(float(self.step.max()))) + 1
        j = torch.minimum(self.before, self.length.float() - 1) + torch.arange(most)
        weights = self.weights(j).mT
        j = torch.where(self.flipped, self.length - 1 - j, j)
        return torch.minimum(j.clamp(min=0), self.length.float() - 1).long().mT, weights[..., None]


def by_matrices(source: Source, down: Resizing, across: Resizing) -> Tensor:
    """(B, 3, count, count) as two products of matrices."""
    return down.matrix(source.side)[:, None] @ source.pixels @ across.matrix(source.side)[:, None].mT


def by_taps(source: Source, down: Resizing, across: Resizing) -> Tensor:
    """Do the same as `by_matrices`, slice by slice from the few pixels that count: on a CPU several times as fast."""
    images = []
    spans = torch.stack([source.view.left, source.view.top], 1).tolist()
    (rows, row_weights), (columns, column_weights) = down.taps(), across.taps()
    for b, (grey, (left, top)) in enumerate(zip(source.grey.tolist(), spans, strict=True)):
        shown = source.pixels[b, : 1 if grey else 3, top:, left:]
        upright = taken(shown, rows[b], row_weights[b])
        images.append(taken(upright.mT.contiguous(), columns[b], column_weights[b]).mT.expand(3, -1, -1))
    return torch.stack(images)


def taken(image: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """(C, H, W) image -> (C, count, W): sums of its rows (J, count), weighted (J, count, 1)."""
    total = image.index_select(1, rows[0]) * weights[0]
    for row, weight in zip(rows[1:], weights[1:], strict=True):
        total.addcmul_(image.index_select(1, row), weight)
    return total
