"""Slices turned, enlarged and bent: what cannot be said by exchanging rows and columns."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from repmedsam_train.data.augmentation import Augmentation
from repmedsam_train.data.sampler.chance import Chance, on_host, smooth
from repmedsam_train.data.sampler.objects import Objects, in_each, shown_labels
from repmedsam_train.data.sampler.source import Source, inside

DEGREES = 25.0
ZOOM = (0.85, 1.15)
# Of an elastic change:
KNOTS = 6  # a side
BEND = (0.005, 0.025)  # deviation at the knots, of the view's longer side


def turn(
    source: Source, objects: Objects, most_labels: int, fixed: Tensor, augmentation: Augmentation, chance: Chance
) -> Source:
    """Turn and bend what is shown of some slices, but not of those that are `fixed` (B,), nor where an object would be
    moved out of sight. Beyond the view everything is 0, as if the slice ended there.
    """
    count, view = len(fixed), source.view
    turned = chance.happens(count, probability=augmentation.rotation) & ~fixed
    bent = chance.happens(count, probability=augmentation.elastic) & ~fixed
    angle = chance.uniform(count, low=-DEGREES, high=DEGREES) * turned * (torch.pi / 180)
    zoom = torch.where(turned, chance.uniform(count, low=ZOOM[0], high=ZOOM[1]), 1.0)
    longer = torch.maximum(view.height, view.width)
    reach = chance.uniform(count, low=BEND[0], high=BEND[1]) * longer * bent
    knots = chance.normal(count, 2, KNOTS, KNOTS) * reach[:, None, None, None]
    chosen = turned | bent
    rows = chosen.nonzero()[:, 0] if on_host(chosen) else torch.arange(count, device=chosen.device)
    if not len(rows):
        return source
    place = positions(
        source.side,
        *(x[rows] for x in (angle, zoom, knots, view.top, view.left, view.height, view.width)),
    )
    labels = source.labels.index_copy(0, rows, turned_labels(source.labels[rows], *place))
    there = shown_labels(labels, most_labels + 1)[objects.image, objects.label.clamp(max=most_labels)]
    moved = chosen & ~in_each(count, objects, ~there)
    pixels = source.pixels[rows] * inside(view, source.side)[rows, None]
    pixels = torch.where(moved[rows, None, None, None], turned_pixels(pixels, *place), source.pixels[rows])
    return replace(
        source,
        pixels=source.pixels.index_copy_(0, rows, pixels),
        labels=torch.where(moved[:, None, None], labels, source.labels),
        view=replace(view, top=torch.where(moved, 0, view.top), left=torch.where(moved, 0, view.left)),
    )


def positions(
    side: int, angle: Tensor, zoom: Tensor, knots: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of every pixel of a turned view, which begins at the upper left corner: x and y (B, side, side) float32 in the
    slice that it shows, and whether it is one of the view's, and shows one of them.
    """
    left, top, height, width = (value[:, None, None].float() for value in (left, top, height, width))
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    shift = smooth(knots, side)
    at = torch.arange(side, device=angle.device, dtype=torch.float32)
    across = at[None, None, :] + shift[:, 0] - width / 2
    down = at[None, :, None] + shift[:, 1] - height / 2
    x = (cos * across - sin * down) / zoom[:, None, None] + width / 2
    y = (sin * across + cos * down) / zoom[:, None, None] + height / 2
    shown = (at[None, None, :] < width) & (at[None, :, None] < height)
    shown = shown & (x > -1) & (x < width) & (y > -1) & (y < height)
    return x + left, y + top, shown


def turned_labels(labels: Tensor, x: Tensor, y: Tensor, shown: Tensor) -> Tensor:
    """Return the nearest label of the slice at every pixel."""
    side = labels.shape[-1]
    column, row = x.round().long(), y.round().long()
    there = shown & (column >= 0) & (column < side) & (row >= 0) & (row < side)
    place = (row * side + column) * there
    return labels.flatten(1).gather(1, place.flatten(1)).view_as(labels) * there


def turned_pixels(pixels: Tensor, x: Tensor, y: Tensor, shown: Tensor) -> Tensor:
    """Interpolate linearly between pixels, which are 0 outside the view."""
    grid = torch.stack([x, y], -1) * (2 / (pixels.shape[-1] - 1)) - 1
    return functional.grid_sample(pixels, grid, align_corners=True) * shown[:, None]
