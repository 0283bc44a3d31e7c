"""Which objects of what is shown are prompted: the anchor, and others drawn alike."""

from dataclasses import dataclass

import torch
from torch import Tensor

from repmedsam_train.data.sampler.source import Source


@dataclass(frozen=True)
class Objects:
    """image (N,) int64 and label (N,) int64 of each, N = B * K; valid (N,) bool: whether there is one at all;
    shown (N,) bool: whether something of it is to be seen.
    """

    image: Tensor
    label: Tensor
    valid: Tensor
    shown: Tensor

    def some(self, keep: Tensor) -> "Objects":
        return Objects(self.image[keep], self.label[keep], self.valid[keep], self.shown[keep])


def shown_labels(labels: Tensor, count: int) -> Tensor:
    """(B, side, side) int16 -> (B, count) bool, which labels there are; never 0."""
    there = torch.zeros(len(labels), count, dtype=torch.bool, device=labels.device)
    there.scatter_(1, labels.flatten(1).long(), value=True)
    there[:, 0] = False
    return there


def choose(source: Source, anchor: Tensor, places: int, keys: Tensor) -> Objects:
    """Return the anchor (B,) and up to `places` - 1 other labels of each slice.

    keys: (B, L) random numbers in [0, 1), L at least `places` and more than any label; the largest are chosen. The
    anchor is valid even where it is not shown, on slices beyond its end. Places that are not filled have its label.
    """
    there = shown_labels(source.labels, keys.shape[1])
    order = torch.where(there, keys, -1.0).scatter(1, anchor[:, None], 2.0)
    top = order.topk(places, 1)
    image = torch.arange(len(anchor), device=anchor.device).repeat_interleave(places)
    valid = top.values >= 0
    label = torch.where(valid, top.indices, anchor[:, None])
    return Objects(image, label.flatten(), valid.flatten(), there.gather(1, label).flatten())


def in_each(count: int, objects: Objects, holds: Tensor) -> Tensor:
    """(N,) bool -> (count,) bool: whether it holds for any valid object of an image."""
    found = torch.zeros(count, dtype=torch.int64, device=holds.device)
    return found.index_add(0, objects.image, (holds & objects.valid).long()) > 0


def extents_of(source: Source, objects: Objects) -> Tensor:
    """(N, 4) float32 inclusive boxes around what is shown of objects, in pixels of the slice; where nothing is, all."""
    masks = source.labels[objects.image] == objects.label[:, None, None]
    columns, rows = masks.any(1), masks.any(2)
    last = source.side - 1

    def first_of(line: Tensor) -> Tensor:
        return line.to(torch.uint8).argmax(1)

    left, top = first_of(columns), first_of(rows)
    right, bottom = last - first_of(columns.flip(1)), last - first_of(rows.flip(1))
    return torch.stack([left, top, right, bottom], 1).float()
