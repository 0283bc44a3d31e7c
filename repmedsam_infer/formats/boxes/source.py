"""Where a user's boxes are: a file of boxes, label maps to take them from, or the command line itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.boxes.advice import refuse_fractions
from repmedsam_infer.formats.boxes.file import NamedBoxes, boxes_from_labels, read_boxes
from repmedsam_infer.formats.boxes.kinds import of_one_image
from repmedsam_infer.formats.boxes.space import affine_of, to_voxels
from repmedsam_infer.formats.boxes.typed import TypedBox, in_space_of, parse_box, parse_box_mm
from repmedsam_infer.formats.endings import name_of
from repmedsam_infer.formats.scan import Scan


@dataclass(frozen=True)
class BoxSource:
    """One of the three.

    file: of boxes (kinds.py), with those of any number of images.
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
        return boxes_typed(self.typed, scan)

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


def boxes_typed(typed: Sequence[TypedBox], scan: Scan) -> NamedBoxes:
    """Return the boxes of the command line, in voxels of the scan. Raises CaseReadError as `BoxSource.boxes_on`."""
    option = "--box-mm" if typed[0].space == "mm" else "--box"
    if option == "--box-mm":
        affine_of(option, scan)
    rows = [in_space_of(scan, box) for box in typed]
    if option == "--box":
        refuse_fractions(option, np.stack(rows), scan, typed[0].written)
    corners = [to_voxels(f"{option} {i}", row, typed[0].space, scan) for i, row in enumerate(rows, 1)]
    open_ended = frozenset(i for i, box in enumerate(typed, 1) if box.slice is not None)
    return NamedBoxes(np.stack(corners), [f"object {i}" for i in range(1, len(corners) + 1)], open_ended)


def box_source(
    file: Path | None, labels: Path | None, typed: Sequence[str], inputs: Sequence[Path], typed_mm: Sequence[str] = ()
) -> BoxSource:
    """Of --boxes, --boxes-from, --box and --box-mm, the one that was given.

    Raises:
        UsageError: none was given, or several, or one that cannot be for these inputs.

    """
    given = sum((file is not None, labels is not None, bool(typed), bool(typed_mm)))
    if given != 1:
        raise UsageError(
            "the boxes are given by --boxes FILE, --boxes-from LABELS, --box x_min,y_min,... or --box-mm: "
            + ("one of these is needed" if not given else "only one of these at a time")
        )
    for path in filter(None, (file, labels)):
        try:
            path.stat()
        except (OSError, ValueError) as error:  # the latter of a name that can be none
            reason = getattr(error, "strerror", None) or "no such name"
            missing = isinstance(error, FileNotFoundError)
            raise UsageError(f"{path} {'does not exist' if missing else f'cannot be opened ({reason})'}") from error
    if len(inputs) > 1:
        check_several(file, labels, len(inputs), is_typed=bool(typed or typed_mm))
    return BoxSource(file, labels, (*map(parse_box, typed), *map(parse_box_mm, typed_mm)))


def check_several(file: Path | None, labels: Path | None, count: int, *, is_typed: bool) -> None:
    """Check that boxes can be those of several images. Raises UsageError where not."""
    if is_typed:
        raise UsageError("--box is for one image; give the boxes of several in a file (--boxes)")
    if labels is not None and not labels.is_dir():
        raise UsageError("--boxes-from has to be a folder of label maps where there are several images")
    reason = of_one_image(file) if file is not None else ""
    if reason:
        raise UsageError(f"{file}: has boxes of one image, and there are {count}: {reason}")
