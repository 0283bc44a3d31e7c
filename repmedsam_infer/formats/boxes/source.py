"""Where a user's boxes are: a file of boxes, label maps to take them from, or the command line itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.boxes.file import CORNERS, NamedBoxes, boxes_from_labels, read_boxes
from repmedsam_infer.formats.boxes.space import to_voxels
from repmedsam_infer.formats.endings import name_of
from repmedsam_infer.formats.scan import Scan


@dataclass(frozen=True)
class BoxSource:
    """One of the three.

    file: JSON or CSV (file.py), with the boxes of any number of images.
    labels: a label map, or a folder of label maps that are called as their images are.
    typed: (4,) or (6,) boxes of one image, in pixels.
    """

    file: Path | None = None
    labels: Path | None = None
    typed: tuple[NDArray[np.float64], ...] = ()

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
        return NamedBoxes(np.stack(corners), [f"object {i}" for i in range(1, len(corners) + 1)])

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


def parse_box(text: str) -> NDArray[np.float64]:
    """(4,) or (6,) of "x_min,y_min,x_max,y_max" or "x_min,y_min,z_min,x_max,y_max,z_max"."""
    try:
        box = np.array([float(number) for number in text.split(",")])
    except ValueError:
        box = np.zeros(0)
    if len(box) not in CORNERS or not np.isfinite(box).all():
        raise UsageError(f"--box {text}: {','.join(CORNERS[4])} or, on volumes, {','.join(CORNERS[6])} is needed")
    low, high = np.split(box, 2)
    if (low > high).any():
        raise UsageError(f"--box {text} ends before it begins (order: {','.join(CORNERS[len(box)])})")
    return box


def in_space_of(scan: Scan, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a box of as many numbers as the scan needs; a volume of one slice takes a picture's."""
    if scan.is_volume and len(box) == 4 and scan.shape[0] == 1:
        return np.array([*box[:2], 0, *box[2:], 0])
    if len(box) != 2 * len(scan.shape):
        kind = "volume" if scan.is_volume else "picture"
        raise CaseReadError(
            f"{scan.name}: is a {kind}, and --box has {len(box)} numbers; "
            f"{','.join(CORNERS[2 * len(scan.shape)])} is needed"
        )
    return box
