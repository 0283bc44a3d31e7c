"""A scan and its boxes, as the case that the network is given; and its segmentation back on the scan's voxels."""

import math
from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import Boxes, check_boxes, sizes_of
from repmedsam_infer.case import Case, make_case
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.intensity import Window, to_grey
from repmedsam_infer.formats.opening import BESIDES
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.slice_axis import SliceOrder, slice_order_of
from repmedsam_infer.system.memory import check_fits

OF_A_BOX = 10  # bytes that a voxel of a volume's box takes while its mask is worked out
IN_PLANE = [0, 1, 3, 4]  # of a box of six


@dataclass(frozen=True)
class CaseLayout:
    """How a scan is laid out as a case: its axes in slice order; a volume of one slice as a picture."""

    order: SliceOrder
    is_volume: bool

    def images(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """(D, H, W[, 3]) or (H, W[, 3]) of voxels, or of labels, in the file's order."""
        slices = self.order.slices(voxels)
        return np.ascontiguousarray(slices if self.is_volume or len(self.order.shape) == 2 else slices[0])

    def boxes(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 4) or (N, 6) on the images, of (N, 4) or (N, 6) of the file's voxels."""
        turned = self.order.boxes(corners)
        return turned if self.is_volume or turned.shape[1] == 4 else turned[:, IN_PLANE]

    def boxes_of_voxels(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 6) of the file's voxels, of (N, 6) on the images of a volume."""
        return self.order.boxes_of_voxels(corners)

    def labels(self, segs: NDArray[Any]) -> NDArray[Any]:
        """(H, W) or (D, H, W) labels in the file's order, of a segmentation of the images."""
        return self.order.voxels(segs if segs.ndim == len(self.order.shape) else segs[None])

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W) or (D, H, W) of the images."""
        turned = tuple(self.order.shape[axis] for axis in self.order.order)
        return turned if self.is_volume or len(turned) == 2 else turned[1:]


def layout_of(scan: Scan) -> CaseLayout:
    order = slice_order_of(scan)
    return CaseLayout(order, scan.is_volume and scan.shape[order.order[0]] > 1)


def make_scan_case(
    name: str,
    scan: Scan,
    corners: NDArray[np.float64],
    window: Window | str | None,
    open_ended: Set[int] = frozenset(),
) -> tuple[Case, CaseLayout]:
    """Return what to segment, and the way back. Boxes are checked, and named in warnings, as given: in voxels.

    Args:
        name: what messages call it.
        scan: picture or volume.
        corners: (N, 4) or (N, 6) in the file's voxels, ends inclusive.
        window: for to_grey.
        open_ended: places, from 1, of boxes on one slice whose objects go on.

    Raises:
        CaseReadError: values that cannot be shown, boxes that are none, an open-ended one that is not on one slice, or
            too little memory to segment the largest.

    """
    layout = layout_of(scan)
    boxes, of_boxes = check_boxes(name, corners, scan.shape)
    largest = int(sizes_of(boxes.corners).max(initial=0)) if layout.is_volume else 0
    check_fits(name, BESIDES * math.prod(scan.shape) + OF_A_BOX * largest)
    grey, notes = to_grey(scan, window)
    spacing = layout.order.spacing(scan.spacing) if layout.is_volume else None
    case = make_case(
        name, layout.images(grey), layout.boxes(boxes.corners), is_volume=layout.is_volume, raw_spacing=spacing
    )
    labels = boxes.labels[case.boxes.labels - 1]
    warnings = tuple(dict.fromkeys((*scan.warnings, *notes, *of_boxes, *case.warnings)))
    usable = Boxes(case.boxes.corners, labels, boxes.count)
    if layout.is_volume:
        usable = with_open_ends(name, usable, open_ended, "xyz"[2 - layout.order.order[0]])
    return replace(case, boxes=usable, warnings=warnings), layout


def with_open_ends(name: str, boxes: Boxes, open_ended: Set[int], across: str) -> Boxes:
    """Return boxes (K, 6) of which those of these labels are open-ended.

    across: the axis of the file that slices lie along, for the message.

    Raises:
        CaseReadError: one of them is on more than one slice.

    """
    for label, box in zip(boxes.labels.tolist(), boxes.corners, strict=True):
        if label in open_ended and round(box[2]) != round(box[5]):
            raise CaseReadError(
                f"{name}: box {label} is on one z, and slices lie along {across} in this file; "
                "give all six numbers of that box"
            )
    return replace(boxes, open_ended=frozenset(open_ended) & frozenset(boxes.labels.tolist()))
