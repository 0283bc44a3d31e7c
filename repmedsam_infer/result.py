"""What Python gets back: labels, and what is known of each object."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import Boxes
from repmedsam_infer.case import Segmentation
from repmedsam_infer.errors import UsageError

MM3_A_ML = 1000
FEW_LABELS = 20  # from about twice as many on, counting all of a plane at once is faster


@dataclass(frozen=True)
class ObjectResult:
    """One object.

    label: its value in the labels: the place of its box, from 1.
    name: as given, else "object 1" and so on.
    box: as it was used: sorted and clipped to the image.
    confidence: the DSC, 0 to 1, that its mask is estimated to have; None where the weights cannot estimate it.
    pixels: pixels or voxels of the label; what smaller objects on top of it cover is not among them.
    area_mm2, volume_ml: of a picture, of a volume whose spacing is known; else None.
    """

    label: int
    name: str
    box: tuple[float, ...]
    confidence: float | None
    pixels: int
    area_mm2: float | None = None
    volume_ml: float | None = None


@dataclass(frozen=True)
class Result:
    """What `Segmenter.segment` returns; np.asarray(result) is its labels.

    labels: of the image's shape, uint8, or uint16 for more than 255 boxes: i + 1 where the mask of box i is, smaller
        boxes on top, 0 elsewhere.
    objects: those of usable boxes, in order.
    warnings: what was odd, masks of low confidence among it.
    """

    labels: Segmentation
    objects: tuple[ObjectResult, ...]
    warnings: tuple[str, ...]

    def __array__(self, dtype: np.dtype[np.generic] | None = None, copy: bool | None = None) -> NDArray[np.generic]:  # noqa: FBT001 (as numpy calls it)
        """Return the labels."""
        return np.array(self.labels, dtype, copy=copy)

    def mask(self, which: int | str) -> NDArray[np.bool_]:
        """Return the mask of a label, or of an object's name; of several objects of one name, all of them.

        Raises:
            UsageError: there is no such object.

        """
        labels = [one.label for one in self.objects if which in (one.label, one.name)]
        if not labels:
            known = ", ".join(repr(one.name) for one in self.objects) or "none"
            raise UsageError(f"there is no object {which!r}; there are: {known}")
        return np.asarray(np.isin(self.labels, labels), np.bool_)


def count_pixels(labels: Segmentation, count: int) -> NDArray[np.int64]:
    """(count + 1,) pixels of 0 and of each label of an (H, W) or (D, H, W) map.

    Plane by plane: numpy counts in numbers of 8 bytes, which a volume at once would take for every voxel, and a plane
    stays in the processor's cache. A few labels are counted one by one, as comparing bytes is the quicker.
    """
    pixels = np.zeros(count + 1, np.int64)
    for plane in labels if labels.ndim == 3 else labels[None]:
        if not plane.any():
            pixels[0] += plane.size
        elif count <= FEW_LABELS:
            of_labels = [np.count_nonzero(plane == label) for label in range(1, count + 1)]
            pixels += [plane.size - sum(of_labels), *of_labels]
        else:
            pixels += np.bincount(plane.ravel(), minlength=count + 1)
    return pixels


def objects_of(
    labels: Segmentation,
    boxes: Boxes,
    confidence: NDArray[np.float32],
    names: Sequence[str],
    spacing: Sequence[float] | None,
) -> tuple[ObjectResult, ...]:
    """Describe the objects of usable boxes, (K,), with `confidence` (K,).

    names: of all boxes by label. spacing: mm along each axis of the labels, or None.
    """
    pixels = count_pixels(labels, boxes.count)
    unit = None if spacing is None else math.prod(spacing)
    if unit is not None and not math.isfinite(unit):  # a spacing that nobody means
        unit = None
    found = []
    for label, box, dsc in zip(boxes.labels.tolist(), boxes.corners.tolist(), confidence.tolist(), strict=True):
        size = None if unit is None else int(pixels[label]) * unit
        found.append(
            ObjectResult(
                label=label,
                name=names[label - 1],
                box=tuple(box),
                confidence=None if np.isnan(dsc) else dsc,
                pixels=int(pixels[label]),
                area_mm2=size if labels.ndim == 2 else None,
                volume_ml=size / MM3_A_ML if size is not None and labels.ndim == 3 else None,
            )
        )
    return tuple(found)
