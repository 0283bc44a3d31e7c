"""What the page is sent of an image: planes of its values as raw arrays, and the windows to show them by."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.app.planes import Plane
from repmedsam_infer.formats.intensity import PERCENTILES, WINDOWS, Window, looks_like_ct, window_used
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.scan_case import CaseLayout
from repmedsam_infer.interactive.strokes import AXES

LARGEST_SIDE = 4096  # pixels of a picture; canvases of some browsers are not larger
# How values of other types are sent: what browsers have arrays for.
SENT = {"uint8": "u1", "int8": "i2", "int16": "i2", "uint16": "u2"}
NAMED = ("soft-tissue", "lung", "bone", "brain", "mediastinum")  # windows of CT in the page


@dataclass(frozen=True)
class ShownImage:
    """The values of a case that are shown: raw where they are grey and not of 8 bits, else those that the network gets.

    values: (D, H, W) or (H, W[, 3]), as the slices of the case lie; a view.
    """

    values: NDArray[Any]
    is_volume: bool

    @property
    def dtype(self) -> str:
        return SENT.get(self.values.dtype.name, "f4")

    @property
    def channels(self) -> int:
        return 3 if self.values.ndim == (4 if self.is_volume else 3) else 1

    @property
    def reduced(self) -> int:
        """Every so many pixels one is sent, the mean of them; in volumes all are."""
        return 1 if self.is_volume else -(-max(self.values.shape[:2]) // LARGEST_SIDE)

    def plane(self, plane: Plane, index: int) -> bytes:
        """Return one plane, rows by columns (by channels), little-endian."""
        if self.is_volume:
            pixels = plane_of(self.values, plane, index)
        elif self.reduced > 1:
            height, width = (-(-side // self.reduced) for side in self.values.shape[:2])
            pixels = cv2.resize(np.ascontiguousarray(self.values), (width, height), interpolation=cv2.INTER_AREA)
        else:
            pixels = self.values
        return pixels.astype(f"<{self.dtype}", order="C").tobytes()


def shown_image(scan: Scan, layout: CaseLayout, grey: NDArray[np.uint8]) -> ShownImage:
    """Return what is shown of a scan; `grey` is what the network is given of it."""
    raw = scan.voxels.ndim == len(scan.shape) and scan.voxels.dtype != np.uint8
    if not raw:
        return ShownImage(grey, layout.is_volume)
    turned = layout.order.slices(scan.voxels)
    return ShownImage(turned if layout.is_volume or turned.ndim == 2 else turned[0], layout.is_volume)


def plane_of(array: NDArray[Any], plane: Plane, index: int) -> NDArray[Any]:
    """Rows and columns, as the page shows them but for flips, of a (D, H, W[, 3]) array."""
    taken = np.take(array, index, axis=AXES[plane.axis])
    rows, columns = plane.array_axes()
    return taken if rows < columns else taken.swapaxes(0, 1)


def windows_of(scan: Scan) -> list[dict[str, Any]]:
    """Return the windows to choose among: of CT the usual ones, else percentiles; none for 8 bits and colours."""
    if scan.voxels.dtype == np.uint8 or scan.voxels.ndim > len(scan.shape):
        return []
    chosen: list[dict[str, Any]] = []
    if scan.window is not None:
        chosen.append(as_json("of the file", scan.window))
    if scan.modality == "CT" or (not scan.modality and looks_like_ct(scan)):
        chosen += [as_json(name, WINDOWS[name]) for name in NAMED]
    of_percentiles = window_used(scan, PERCENTILES)
    assert of_percentiles is not None
    return [*chosen, as_json(PERCENTILES, of_percentiles)]


def as_json(name: str, window: Window) -> dict[str, Any]:
    return {"name": name, "level": window[0], "width": window[1]}
