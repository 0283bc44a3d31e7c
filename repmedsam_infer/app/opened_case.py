"""One image that is open in the page: its scan, the session on it, and how it is shown."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.app.edits import Grid
from repmedsam_infer.app.pixels import ShownImage, as_json, shown_image, windows_of
from repmedsam_infer.app.planes import CASE_AXES, Plane, planes_of
from repmedsam_infer.boxes import NO_BOXES
from repmedsam_infer.case import Case, read_case
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats import read_scan
from repmedsam_infer.formats.intensity import Window, window_used
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.scan_case import CaseLayout, layout_of, make_scan_case
from repmedsam_infer.interactive.drawing import Drawing
from repmedsam_infer.interactive.session import Session
from repmedsam_infer.interactive.shared_engine import Network
from repmedsam_infer.preprocess import Zoom

OF_A_SERIES = "choose one by its number or SeriesInstanceUID with --series, or give a folder"
# What messages end with, and what they advise on the page.
IN_THE_PAGE = {
    "; choose with --window": "choose another one above",
    "; choose one with --volume": "save the one that you mean as a file of its own",
}


class NetworkOf(Protocol):
    """Gives the network for volumes, or that for pictures; loaded when it is first asked for."""

    def __call__(self, *, volumes: bool) -> Network:
        """Raise SetupError where it cannot be loaded."""
        ...


@dataclass(frozen=True)
class Loaded:
    """A file, read.

    scan: as it was read. case: what the network is given. boxes: (N, 4) or (N, 6), those of an npz case, on the case.
    """

    scan: Scan
    layout: CaseLayout
    case: Case
    boxes: NDArray[np.float64]


def load(path: Path, window: Window | str | None) -> Loaded:
    """Read a picture or volume of any format of `segment`, or an npz case of `predict`.

    Raises:
        CaseReadError, SetupError: as these do.

    """
    if path.suffix == ".npz" and path.is_file():
        case = read_case(path)
        scan = Scan(path.name, case.imgs, case.is_volume)
        return Loaded(scan, layout_of(scan), case, case.boxes.corners)
    try:
        scan = read_scan(path)
    except CaseReadError as error:
        raise CaseReadError(for_the_page(str(error))) from error
    case, layout = case_without_boxes(path, scan, window)
    return Loaded(scan, layout, case, case.boxes.corners)


def case_without_boxes(path: Path, scan: Scan, window: Window | str | None) -> tuple[Case, CaseLayout]:
    """Return what the network is given of a scan that boxes are yet to be drawn on. Raises CaseReadError."""
    case, layout = make_scan_case(path.name, scan, np.zeros((0, 2 * len(scan.shape))), window)
    return replace(case, warnings=tuple(warning for warning in case.warnings if warning != NO_BOXES)), layout


def digest_of(scan: Scan) -> str:
    """Return a digest of a scan's values: a drawing belongs to them."""
    digest = hashlib.blake2b(repr((scan.voxels.shape, scan.voxels.dtype.str)).encode(), digest_size=16)
    for plane in scan.voxels:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


class OpenedCase:
    """An image and the session on it.

    Args:
        path: of the file or folder.
        network: gives that for volumes or for pictures.
        zoom: of pictures.
        window: what the network's grey levels are made with; None for what suits the image.
        drawing_of: the drawing that was kept, of the digest of the scan's values, or None.
        changed: called when there is something new to see.

    Raises:
        CaseReadError, SetupError: as `load`.

    """

    def __init__(
        self,
        path: Path,
        network: NetworkOf,
        zoom: Zoom,
        window: Window | str | None,
        drawing_of: Callable[[str], Drawing | None],
        changed: Callable[[], None],
    ) -> None:
        loaded = load(path, window)
        self.path, self.scan, self.layout, self.window = path, loaded.scan, loaded.layout, window
        self.warnings = loaded.case.warnings
        self.planes: dict[str, Plane] = {plane.axis: plane for plane in planes_of(self.scan, self.layout)}
        self.digest = digest_of(self.scan)
        drawing = drawing_of(self.digest)
        if drawing is None:
            drawing = drawing_of_boxes(loaded.boxes)
        self.windows = windows_of(self.scan)
        self.used_window = window_used(self.scan, window) if self.windows else None
        self.image: ShownImage = shown_image(self.scan, self.layout, loaded.case.imgs)
        self.session = Session(loaded.case, network(volumes=loaded.case.is_volume), zoom, drawing, changed)

    @property
    def is_volume(self) -> bool:
        return self.layout.is_volume

    @property
    def shape(self) -> dict[str, int]:
        """Voxels along each axis of the case."""
        sides = self.session.case.shape
        return dict(zip(CASE_AXES[-len(sides) :], sides, strict=True))

    @property
    def spacing(self) -> dict[str, float] | None:
        """Millimetres along each axis of the case, where they are known."""
        if self.is_volume or self.scan.spacing is None:
            known = self.session.case.spacing
        else:  # a volume of one slice, which is a picture of known size
            known = self.layout.order.spacing(self.scan.spacing)
        return (
            None if known is None else {axis: float(known[i]) for i, axis in enumerate(CASE_AXES) if axis in self.shape}
        )

    @property
    def grid(self) -> Grid:
        return Grid(self.planes, self.shape, self.spacing)

    def set_window(self, window: Window | str | None) -> None:
        """Have the network see other grey levels: all masks are made anew.

        Raises:
            CaseReadError: the window is none for this image.

        """
        case, _ = case_without_boxes(self.path, self.scan, window)
        self.window = window
        self.used_window = window_used(self.scan, window)
        self.session.set_case(case)

    @property
    def network_window(self) -> dict[str, Any] | None:
        """The window of the network's grey levels, as JSON holds it; None where they are those of the file."""
        if self.used_window is None:
            return None
        named = (one for one in self.windows if (one["level"], one["width"]) == self.used_window)
        return next(named, as_json("", self.used_window))

    def described(self) -> dict[str, Any]:
        """Return what the page needs to show the image."""
        return {
            "volume": self.is_volume,
            "shape": self.shape,
            "spacing": self.spacing,
            "modality": self.scan.modality,
            "unit": "HU" if self.scan.modality == "CT" else "",
            "pixel": {"dtype": self.image.dtype, "channels": self.image.channels},
            "reduced": self.image.reduced,
            "planes": [plane.as_json() for plane in self.planes.values()],
            "windows": self.windows,
            "window": self.network_window,
            "warnings": [for_the_page(warning) for warning in self.warnings],
        }

    def boxes_of_voxels(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 4) or (N, 6) boxes on the case -> the same in the file's voxels, of as many axes as the file has."""
        if len(self.scan.shape) == 2:
            return boxes
        if not self.is_volume:  # a volume of one slice
            zeros = np.zeros(len(boxes))
            boxes = np.column_stack([boxes[:, :2], zeros, boxes[:, 2:], zeros])
        return self.layout.boxes_of_voxels(boxes)


def for_the_page(message: str) -> str:
    """Return a message without the command line's options, which the page has not."""
    for option, instead in IN_THE_PAGE.items():
        said, found, _ = message.partition(option)
        if found:
            return f"{said}; {instead}"
    return message.replace(OF_A_SERIES, "open a folder")


def drawing_of_boxes(boxes: NDArray[np.float64]) -> Drawing:
    """Return a drawing of one object a box, whole pixels."""
    drawing = Drawing()
    for box in np.rint(boxes).astype(int).tolist():
        drawing = drawing.add_object()
        drawing = drawing.add_box(drawing.objects[-1].id, "+", tuple(box))
    return drawing
