"""Where a user's boxes are: a file of boxes, label maps to take them from, or the command line itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.boxes.entry import CORNERS, on_one_slice
from repmedsam_infer.formats.boxes.file import NamedBoxes, boxes_from_labels, read_boxes
from repmedsam_infer.formats.boxes.space import to_voxels
from repmedsam_infer.formats.endings import name_of
from repmedsam_infer.formats.scan import Scan


@dataclass(frozen=True)
class TypedBox:
    """One box of the command line, in pixels.

    corners: (4,) or (6,). slice: the z that a box of four is on, where it was named.
    """

    corners: NDArray[np.float64]
    slice: float | None = None


@dataclass(frozen=True)
class BoxSource:
    """One of the three.

    file: JSON or CSV (file.py), with the boxes of any number of images.
    labels: a label map, or a folder of label maps that are called as their images are.
    typed: boxes of one image.
    """

    file: Path | None = None
    labels: Path | None = None
    typed: tuple[TypedBox, ...] = ()

    def boxes_on(self, path: Path, scan: Scan) -> NamedBoxes:
        """Return the boxes on the scan that was read from `path`, in its voxels.

        Raises:
            CaseReadError: there are none, or they cannot be on this scan.

        """
        if self.file is not None:
            return read_boxes(self.file, scan, path.name)
        if self.labels is not None:
            return boxes_from_labels(self.labels_of(path), scan)
        corners = [
            to_voxels(f"--box {i}", in_space_of(scan, box), "pixel", scan) for i, box in enumerate(self.typed, 1)
        ]
        open_ended = frozenset(i for i, box in enumerate(self.typed, 1) if box.slice is not None)
        return NamedBoxes(np.stack(corners), [f"object {i}" for i in range(1, len(corners) + 1)], open_ended)

    def labels_of(self, path: Path) -> Path:
        """Return the label map of the image at `path`.

        Raises:
            CaseReadError: none in the folder is called as the image is, or several are.

        """
        assert self.labels is not None
        if not self.labels.is_dir():
            return self.labels
        named = sorted(p for p in self.labels.iterdir() if name_of(p) == name_of(path))
        if len(named) != 1:
            found = f"{named[0].name} and {named[1].name} are" if named else "nothing is"
            raise CaseReadError(
                f"{path.name}: {found} called {name_of(path)} in {self.labels}; one label map is needed"
            )
        return named[0]


def box_source(file: Path | None, labels: Path | None, typed: Sequence[str], inputs: Sequence[Path]) -> BoxSource:
    """Of --boxes, --boxes-from and --box, the one that was given.

    Raises:
        UsageError: none was given, or several, or one that cannot be for these inputs.

    """
    given = sum((file is not None, labels is not None, bool(typed)))
    if given != 1:
        raise UsageError(
            "the boxes are given by --boxes FILE, --boxes-from LABELS or --box x_min,y_min,...: "
            + ("one of these is needed" if not given else "only one of these at a time")
        )
    for path in filter(None, (file, labels)):
        if not path.exists():
            raise UsageError(f"{path} does not exist")
    if typed and len(inputs) > 1:
        raise UsageError("--box is for one image; give the boxes of several in a file (--boxes)")
    if labels is not None and not labels.is_dir() and len(inputs) > 1:
        raise UsageError("--boxes-from has to be a folder of label maps where there are several images")
    return BoxSource(file, labels, tuple(parse_box(text) for text in typed))


def parse_box(text: str) -> TypedBox:
    """Parse "x_min,y_min,x_max,y_max", that with "@z", or "x_min,y_min,z_min,x_max,y_max,z_max"."""
    of_box, at, of_slice = text.partition("@")
    try:
        box = np.array([float(number) for number in of_box.split(",")])
        z = float(of_slice) if at else None
    except ValueError:
        box, z = np.zeros(0), None
    if len(box) not in ((4,) if at else CORNERS) or not np.isfinite([*box, z or 0]).all():
        four = ",".join(CORNERS[4])
        raise UsageError(
            f"--box {text}: {four} is needed, or on volumes {','.join(CORNERS[6])}, or {four}@z for a box on one slice"
        )
    low, high = np.split(box, 2)
    if (low > high).any():
        raise UsageError(f"--box {text} ends before it begins (order: {','.join(CORNERS[len(box)])})")
    return TypedBox(box, z)


def in_space_of(scan: Scan, typed: TypedBox) -> NDArray[np.float64]:
    """Return a box of as many numbers as the scan needs; a volume of one slice takes a picture's."""
    box = typed.corners
    if typed.slice is not None:
        if not scan.is_volume:
            raise CaseReadError(f"{scan.name}: is a picture, and --box names a slice; leave out @{typed.slice:g}")
        return np.array(on_one_slice(box.tolist(), typed.slice))
    if scan.is_volume and len(box) == 4 and scan.shape[0] == 1:
        return np.array([*box[:2], 0, *box[2:], 0])
    if len(box) != 2 * len(scan.shape):
        kind = "volume" if scan.is_volume else "picture"
        hint = f", or {','.join(CORNERS[4])}@z for a box on one slice" if scan.is_volume else ""
        raise CaseReadError(
            f"{scan.name}: is a {kind}, and --box has {len(box)} numbers; "
            f"{','.join(CORNERS[2 * len(scan.shape)])} is needed{hint}"
        )
    return box
