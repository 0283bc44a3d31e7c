"""True masks over regions of the frame, straight from the label map."""

import torch
from torch import Tensor

from repmedsam_train.data.sampler.objects import Objects
from repmedsam_train.data.sampler.prompts import frame_scale
from repmedsam_train.data.sampler.source import Source, View


def targets(source: Source, view: View, objects: Objects, rois: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Masks (N, side, side) float32 in [0, 1] and, likewise, where a higher label lies over the object.

    Of the four pixels around each point of a region those count, by linear interpolation, that show the object; what
    lies beyond the view shows none. view: (N,), of each object's slice.
    """
    scale = frame_scale(view).float()[:, None]
    edges = rois / scale
    step = (edges[:, 2:] - edges[:, :2]) / side
    place = torch.arange(side, device=rois.device) + 0.5
    across, down = (edges[:, k, None] + place * step[:, k, None] - 0.5 for k in (0, 1))
    # What is shown from left to right lies from top to bottom in the slice, where axes were exchanged.
    transpose = view.transpose[:, None]
    columns, rows = torch.where(transpose, down, across), torch.where(transpose, across, down)
    columns = along(columns, view.left, view.width, view.flip_x)
    rows = along(rows, view.top, view.height, view.flip_y)

    labels, size = source.labels.flatten(), source.side
    first = (objects.image * size * size)[:, None, None]
    own = objects.label.to(labels.dtype)[:, None, None]
    masks = torch.zeros(len(rois), side, side, device=rois.device)
    covered = torch.zeros_like(masks)
    for row, row_weight in taps(rows, size):
        for column, column_weight in taps(columns, size):
            found = labels[first + (row * size)[:, :, None] + column[:, None, :]]
            weight = row_weight[:, :, None] * column_weight[:, None, :]
            masks += weight * (found == own)
            covered += weight * (found > own)
    exchanged = view.transpose[:, None, None]
    return torch.where(exchanged, masks.mT, masks), torch.where(exchanged, covered.mT, covered)


def along(positions: Tensor, first: Tensor, length: Tensor, flipped: Tensor) -> Tensor:
    """(N, side) positions in what is shown -> in the slice, along one of its axes."""
    last = (length - 1)[:, None]
    return torch.where(flipped[:, None], last - positions, positions) + first[:, None]


def taps(positions: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """(N, side) positions -> the pixels before and after each, int64, with their weights; 0 beyond `size` pixels."""
    before = positions.floor()
    part = positions - before
    found = []
    for pixel, weight in ((before, 1 - part), (before + 1, part)):
        there = (pixel >= 0) & (pixel < size)
        found.append((pixel.clamp(0, size - 1).long(), weight * there))
    return found
