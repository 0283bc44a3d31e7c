"""Which sides of the patient the edges of a scan's slices are, where its file says it."""

import numpy as np

from repmedsam_infer.drawing.anatomy import Ends, ends_of
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.scan_case import CaseLayout


def ends_of_slices(scan: Scan, layout: CaseLayout) -> Ends | None:
    """Return letters for the ends of each axis of the slices as they are shown; None where the file does not say."""
    if scan.affine is None or not states_orientation(scan):
        return None
    order = layout.order
    signs = np.where(order.flipped, -1.0, 1.0)
    directions = [scan.affine[:3, 2 - axis] * sign for axis, sign in zip(order.order, signs, strict=True)]
    return ends_of(directions[-len(layout.shape) :])


def states_orientation(scan: Scan) -> bool:
    """Whether a file says where left and right are. Readers fill in what it leaves out: along the axes, from 0."""
    header = getattr(scan.source, "header", None)
    if header is not None and "sform_code" in header:
        return bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    assert scan.affine is not None
    axes = scan.affine[:3, :3]
    return bool((axes != np.diag(np.diag(axes))).any() or (np.diag(axes) < 0).any() or scan.affine[:3, 3].any())
