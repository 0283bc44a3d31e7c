"""Boxes that prompt objects, as people draw them, in pixels of the 256-pixel frame; and the regions around them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from repmedsam_infer.decoder_roi import SHIFT, WIDEN
from repmedsam_infer.preprocess import FRAME_SIZE
from repmedsam_train.data.augmentation import LOOSE, Augmentation
from repmedsam_train.data.pool import DEPTH, EXTENTS, Pool, Z
from repmedsam_train.data.sampler.chance import Chance, constant
from repmedsam_train.data.sampler.objects import Objects
from repmedsam_train.data.sampler.source import View

LATEST = 2  # slices by which a box is too long in z


@dataclass(frozen=True)
class BoxChances:
    """Random numbers for (N,) boxes, each in [0, 1): kind (N, 1), sides (N, 4), late and how_late (N, 2) in z."""

    kind: Tensor
    sides: Tensor
    late: Tensor
    how_late: Tensor

    @classmethod
    def draw(cls, count: int, chance: Chance) -> "BoxChances":
        return cls(
            chance.uniform(count, 1), chance.uniform(count, 4), chance.uniform(count, 2), chance.uniform(count, 2)
        )

    def some(self, keep: Tensor) -> "BoxChances":
        return BoxChances(self.kind[keep], self.sides[keep], self.late[keep], self.how_late[keep])


def edges(device: torch.device) -> Tensor:
    """From an inclusive last pixel to the edge behind it."""
    return constant((0.0, 0.0, 1.0, 1.0), device)


def frame_scale(view: View) -> Tensor:
    """(B,) float64, frame pixels per pixel of the slice."""
    return FRAME_SIZE / torch.maximum(view.height, view.width).double()


def shown_boxes(boxes: Tensor, view: View) -> Tensor:
    """(N, 4) inclusive boxes in pixels of slices -> in pixels of what the view (N,) shows, clipped to it, its sides
    and axes exchanged.
    """
    corner = torch.stack([view.left, view.top] * 2, 1)
    last = torch.stack([view.width, view.height] * 2, 1) - 1
    local = torch.minimum((boxes - corner).clamp(min=0), last.float())
    x0, y0, x1, y1 = local.unbind(1)
    right, bottom = last[:, 0], last[:, 1]
    x0, x1 = torch.where(view.flip_x, right - x1, x0), torch.where(view.flip_x, right - x0, x1)
    y0, y1 = torch.where(view.flip_y, bottom - y1, y0), torch.where(view.flip_y, bottom - y0, y1)
    straight, exchanged = torch.stack([x0, y0, x1, y1], 1), torch.stack([y0, x0, y1, x1], 1)
    return torch.where(view.transpose[:, None], exchanged, straight)


def jittered(boxes: Tensor, chances: BoxChances, augmentation: Augmentation) -> Tensor:
    """Move each side of (N, 4) frame boxes at random. May leave the frame."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    reach = (augmentation.box_jitter_relative * sides).clamp(1, augmentation.box_jitter)
    outwards = LOOSE * (2 * edges(boxes.device) - 1)
    shift = (2 * chances.sides - 1) * reach
    shift = torch.where(chances.kind < augmentation.loose_box, shift + outwards, shift)
    shift = torch.where(chances.kind > 1 - augmentation.tight_box, 0, shift)
    # A side never crosses its opposite: half a pixel always remains.
    moved, centre = boxes + shift, (boxes[:, :2] + boxes[:, 2:]) / 2
    return torch.cat([torch.minimum(moved[:, :2], centre - 0.25), torch.maximum(moved[:, 2:], centre + 0.25)], 1)


def framed(boxes: Tensor, view: View, chances: BoxChances, augmentation: Augmentation) -> Tensor:
    """(N, 4) inclusive boxes in pixels of slices, view (N,) -> in frame pixels, jittered, within the image."""
    edge, scale = edges(boxes.device), frame_scale(view)
    home = (shown_boxes(boxes, view) + edge) * scale[:, None].float() - edge
    height = (view.height * scale + 0.5).long().clamp(min=1)
    width = (view.width * scale + 0.5).long().clamp(min=1)
    straight, exchanged = torch.stack([width, height] * 2, 1), torch.stack([height, width] * 2, 1)
    limit = torch.where(view.transpose[:, None], exchanged, straight).float() - edge
    return torch.minimum(torch.maximum(jittered(home, chances, augmentation), -edge), limit)


def sections(
    boxes: Tensor, pool: Pool, slices: Tensor, objects: Objects, chances: BoxChances, augmentation: Augmentation
) -> Tensor:
    """(N, 4) frame boxes of whole objects -> those of the sections of their ellipsoids on the slices (B,) that objects
    are shown on, as in inference. Some boxes are too long in z (`loose_z`), and always long enough to reach the slice.
    """
    row = pool.slices[slices[objects.image]]
    extent = pool.extents[row[:, EXTENTS] + objects.label]
    z, last = row[:, Z].float(), row[:, DEPTH].float() - 1
    more = (1 + (chances.how_late * LATEST).floor()) * (chances.late < augmentation.loose_z)
    first = torch.minimum((extent[:, 2] - more[:, 0]).clamp(min=0), z)
    end = torch.maximum(torch.minimum(extent[:, 5] + more[:, 1], last), z)
    middle, half = (first + end) / 2, (end - first + 1) / 2
    radius = (1 - ((z - middle) / half).square()).clamp(min=0).sqrt()
    centre = (boxes[:, :2] + boxes[:, 2:] + 1) / 2
    sides = ((boxes[:, 2:] - boxes[:, :2] + 1) / 2 * radius[:, None]).clamp(min=0.5)
    return torch.cat([centre - sides, centre + sides - 1], 1)


def whole_frame(count: int, device: torch.device) -> Tensor:
    """(count, 4) edges of the whole frame."""
    return constant((0.0, 0.0, float(FRAME_SIZE), float(FRAME_SIZE)), device).repeat(count, 1)


def rois_of(boxes: Tensor, *, focus: bool) -> Tensor:
    """(N, 4) regions around (N, 4) boxes (decoder_roi.py); without `focus` the whole frame."""
    if not focus:
        return whole_frame(len(boxes), boxes.device)
    return boxes @ constant(WIDEN, boxes.device) + constant(SHIFT, boxes.device)
