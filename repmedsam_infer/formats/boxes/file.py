"""Boxes out of files, of any kind (kinds.py), or the tight boxes of a label map.

JSON: {"space": "pixel", "boxes": [[12, 30, 80, 95], {"box": [5, 5, 9, 9], "name": "liver"}]}, the list alone, or
{"cases": {"name of the case": ...one of the two...}}. CSV: columns x_min, y_min, x_max, y_max, for volumes z_min and
z_max, too, and optionally case, name and space. On a volume, a box of four numbers with a "slice" (in CSV a column)
is on that z alone, and how far its object goes on from there is found; in JSON a box of six numbers that is on one
slice may say that, too, by "follow": true. In place of a box, the ends of diameters: in JSON "recist": [[x, y], ...],
in CSV columns x1, y1 and so on (recist.py). Space is pixel (the default) or mm:

pixel: indices of the first and the last voxel in the file's own order, the last one included.
mm: LPS millimetres, the faces of a box along the patient's axes. A voxel reaches half a voxel around its centre, so
    the faces of voxels 3 to 5 are at indices 2.5 and 5.5; faces become indices by the inverse of that. In an oblique
    volume the box of voxels is the smallest that holds the eight corners.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import tight_boxes
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.advice import listed, refuse_fractions
from repmedsam_infer.formats.boxes.entry import MAX_NAME, check_count
from repmedsam_infer.formats.boxes.kinds import read_entries
from repmedsam_infer.formats.boxes.space import to_voxels
from repmedsam_infer.formats.label_grid import on_grid_of, whole_labels
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]

MOST_NOTES = 8  # of one file


@dataclass(frozen=True)
class NamedBoxes:
    """Boxes and what they are called.

    corners: float64 (N, 4) or (N, 6), x_min y_min [z_min] x_max y_max [z_max], voxel indices of the scan, ends
        inclusive. From mm they have fractions.
    names: N of them, "object 1" and so on where the file has none.
    open_ended: places, from 1, of boxes on one slice of a volume: how far their objects go on is to be found.
    warnings: what of the file was left out, or taken for a box, for the user.
    """

    corners: F64
    names: list[str]
    open_ended: frozenset[int] = frozenset()
    warnings: tuple[str, ...] = ()


def read_boxes(path: Path, scan: Scan, case_name: str) -> NamedBoxes:
    """Return the boxes of `case_name` in a file of boxes, in voxel indices of `scan`.

    Raises:
        CaseReadError: the file is not what its kind demands, has nothing on this case, or a box is clearly not in the
            space that it claims.
        SetupError: what reads its kind is not installed.

    """
    file = path.name
    entries, notes = read_entries(path, scan, case_name)
    if not entries:
        raise CaseReadError(f"{file}: there are no boxes in it for {case_name}")
    check_count(file, len(entries))
    if all(entry.space == "pixel" for entry in entries):
        refuse_fractions(file, np.stack([entry.box for entry in entries]), scan, listed)
    corners = [to_voxels(f"{file}: {entry.where}", entry.box, entry.space, scan) for entry in entries]
    names = [entry.name or f"object {label}" for label, entry in enumerate(entries, 1)]
    open_ended = frozenset(label for label, entry in enumerate(entries, 1) if entry.open_ended)
    more = [f"and {len(notes) - MOST_NOTES} more of the kind"] if len(notes) > MOST_NOTES else []
    warnings = tuple(f"{file}: {note}" for note in [*notes[:MOST_NOTES], *more])
    return NamedBoxes(np.stack(corners), names, open_ended, warnings)


def boxes_from_labels(path: Path, scan: Scan) -> NamedBoxes:
    """Return the tight box around each label of a label map, in order of labels; called "label 3" and so on.

    Args:
        path: of any format that read_scan reads; or a DICOM SEG, or a segmentation of 3D Slicer, whose segments' names
            are kept.
        scan: the image that it belongs to. A label map of the same voxels in another order is turned to fit; one that
            is cut out of them is put back.

    Raises:
        CaseReadError: it is no label map, has no labels, or does not lie on the scan's voxels.

    """
    from repmedsam_infer.formats import read_scan
    from repmedsam_infer.formats.dicom.seg_boxes import is_seg, seg_boxes

    if is_seg(path):
        of_segments, names = seg_boxes(path, scan)
        if not of_segments:
            raise CaseReadError(f"{path.name}: there are no voxels in its segments")
        return NamedBoxes(np.array(of_segments, np.float64), names)
    label_map = read_scan(path)
    labels = on_grid_of(scan, label_map, whole_labels(label_map))
    boxes = tight_boxes(labels)
    present = np.flatnonzero(boxes[:, 0] <= boxes[:, labels.ndim])
    if not len(present):
        raise CaseReadError(f"{path.name}: there are no labels in it (0 is background)")
    known = known_names(path)
    called = [known.get(int(i) + 1) or f"label {i + 1}" for i in present]
    return NamedBoxes(boxes[present].astype(np.float64), called)


def known_names(path: Path) -> dict[int, str]:
    """Return what 3D Slicer's segmentations call their labels; names that cannot be shown are left out."""
    if path.suffix.lower() != ".nrrd":
        return {}
    from repmedsam_infer.formats.nrrd.image import segment_names

    return {label: name for label, name in segment_names(path).items() if name.isprintable() and len(name) <= MAX_NAME}
