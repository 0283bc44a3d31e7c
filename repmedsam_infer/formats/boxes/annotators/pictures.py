"""What files of boxes on pictures have in common, COCO's and LabelMe's: outlines between the edges of pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.entry import is_number
from repmedsam_infer.formats.boxes.space import between_edges
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]


def check_picture(file: str, kind: str, scan: Scan) -> None:
    """Raise CaseReadError where the scan is a volume."""
    if scan.is_volume:
        raise CaseReadError(
            f"{file}: is a file of {kind}, whose boxes are on pictures, and {scan.name} is a volume; "
            "give boxes of six numbers, or of four and a slice"
        )


def check_size(file: str, width: Any, height: Any, scan: Scan) -> None:
    """Raise CaseReadError where a file says that its picture has another size than the scan."""
    stated = width, height
    if all(is_number(side) and side > 0 for side in stated) and stated != scan.shape[1::-1]:
        raise CaseReadError(
            f"{file}: was made on a picture of {str(width)[:20]} x {str(height)[:20]} pixels, and {scan.name} has "
            f"{scan.shape[1]} x {scan.shape[0]}; is it another one, scaled, or turned?"
        )


def box_between(low: F64, high: F64) -> list[float]:
    """Return x_min, y_min, x_max, y_max, of pixels, between (2,) corners of edges."""
    first, last = between_edges(low, high)
    return [*first.tolist(), *last.tolist()]
