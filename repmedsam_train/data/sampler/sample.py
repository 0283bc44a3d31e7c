"""A batch: slices fetched, cropped, turned, placed and varied; objects on them chosen, prompted and shown as masks."""

from dataclasses import fields, replace

import torch
from torch import Tensor

from repmedsam_infer.preprocess import FRAME_SIZE
from repmedsam_train.data.augmentation import Augmentation
from repmedsam_train.data.batch import Batch
from repmedsam_train.data.pool import DEPTH, EXTENTS, Pool
from repmedsam_train.data.sampler.chance import Chance, on_host
from repmedsam_train.data.sampler.entries import move_beyond
from repmedsam_train.data.sampler.intensity import Placed, normalised, vary
from repmedsam_train.data.sampler.objects import Objects, choose, extents_of, in_each
from repmedsam_train.data.sampler.placing import placed
from repmedsam_train.data.sampler.prompts import BoxChances, edges, framed, rois_of, sections, whole_frame
from repmedsam_train.data.sampler.source import Source, View, crop, fetch, flip
from repmedsam_train.data.sampler.targets import targets
from repmedsam_train.data.sampler.turning import turn

FOCUSED_SIDE = 128  # of the masks over ROIs: twice as fine as logits of grid 16


@torch.no_grad()
def draw_batch(
    pool: Pool,
    slices: Tensor,
    anchors: Tensor,
    size: int,
    boxes_per_image: int,
    augmentation: Augmentation,
    chance: Chance,
    *,
    focus: bool,
) -> Batch:
    """Draw samples of slices (B,) around their anchors (B,), labels on them.

    With `focus` the masks cover the ROIs of the boxes, else the whole frame. Shapes depend on the arguments' alone, and
    on a GPU nothing waits for a result.
    """
    count = len(slices)
    if augmentation.beyond:
        slices = move_beyond(pool, slices, anchors, augmentation.beyond, chance)
    source = crop(fetch(pool, slices), anchors, augmentation, chance)
    keys = chance.uniform(count, max(pool.most_labels + 1, boxes_per_image))
    objects = choose(source, anchors, boxes_per_image, keys)
    whole = chance.happens(len(objects.image), probability=augmentation.volume_box)
    whole = whole & (pool.slices[slices, DEPTH] > 1)[objects.image]  # prompted by a section of their 3D box
    whole = whole | ~objects.shown
    source = turn(source, objects, pool.most_labels, in_each(count, objects, whole), augmentation, chance)
    source = replace(source, view=flip(source.view, augmentation, chance))
    images, where = placed(source, size)
    longer = torch.maximum(source.view.height, source.view.width)
    levels = vary(Placed(images / 255, where, source.grey, size / longer.float()), augmentation, chance)
    prompted = prompt(pool, slices, source, objects, whole, augmentation, chance, focus=focus)
    return Batch(normalised(levels, where), *prompted, objects.image, objects.valid)


def prompt(
    pool: Pool,
    slices: Tensor,
    source: Source,
    objects: Objects,
    whole: Tensor,
    augmentation: Augmentation,
    chance: Chance,
    *,
    focus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes, ROIs, masks and covered of all objects; where there is none the whole frame, and masks of 0."""
    count, side = len(objects.image), FOCUSED_SIDE if focus else FRAME_SIZE
    chances = BoxChances.draw(count, chance)
    keep = None
    if on_host(objects.valid):  # where it costs nothing to ask, what is not there is not worked out
        keep = objects.valid.nonzero()[:, 0]
        objects, chances, whole = objects.some(keep), chances.some(keep), whole[keep]
    view = of_objects(source.view, objects)
    extents = pool.extents[pool.slices[slices, EXTENTS][objects.image] + objects.label]
    boxes = torch.where(whole[:, None], torch.cat([extents[:, :2], extents[:, 3:5]], 1), extents_of(source, objects))
    clipped = framed(boxes, view, chances, augmentation)
    prompts = sections(clipped, pool, slices, objects, chances, augmentation)
    rois = rois_of(clipped, focus=focus)
    boxes = torch.where(whole[:, None], prompts, clipped)
    masks, covered = targets(source, view, objects, rois, side)

    frame = whole_frame(count, boxes.device)
    if keep is not None:
        nothing = masks.new_zeros(count, side, side)
        return (
            (frame - edges(frame.device)).index_copy_(0, keep, boxes),
            frame.index_copy(0, keep, rois),
            nothing.index_copy(0, keep, masks),
            nothing.index_copy_(0, keep, covered),
        )
    valid = objects.valid[:, None]
    return (
        torch.where(valid, boxes, frame - edges(frame.device)),
        torch.where(valid, rois, frame),
        masks * valid[..., None],
        covered * valid[..., None],
    )


def of_objects(view: View, objects: Objects) -> View:
    """Return the view (N,) of each object's slice."""
    return View(*(getattr(view, entry.name)[objects.image] for entry in fields(view)))
