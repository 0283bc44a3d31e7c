"""Cases of `repmedsam segment`: images and label maps in files as people have them, put together as they are shown."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.batch.report import CaseReport, ObjectReport
from repmedsam_infer.boxes import MAX_BOXES, Boxes, check_boxes
from repmedsam_infer.case import Case
from repmedsam_infer.drawing.extras import Extras
from repmedsam_infer.errors import CaseError, CaseReadError
from repmedsam_infer.formats import read_scan
from repmedsam_infer.formats.endings import name_of
from repmedsam_infer.formats.intensity import to_grey
from repmedsam_infer.formats.label_grid import on_grid_of, whole_labels
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.scan_case import CaseLayout, layout_of
from repmedsam_infer.formats.sides import ends_of_slices
from repmedsam_infer.io.npz import open_npz
from repmedsam_infer.report_page.opened import Folders, Opened, check_name, input_of, inside, usable
from repmedsam_infer.system.regular import may_be_path


def open_files(report: CaseReport, folders: Folders) -> Opened:
    """Read the label map of a case, and its image where that is still there.

    Raises:
        CaseReadError: there is no label map, or it is not of this image.
        SetupError: what reads its kind is not installed.

    """
    name = report.output or report.case
    check_name(name)
    notes: list[str] = []
    scan, grey = find_image(report, folders, notes)
    base, labels = read_result(inside(folders.segs, name), scan, report.objects)
    layout = layout_of(base)
    segs = layout.images(labels)
    imgs = np.zeros(segs.shape, np.uint8) if grey is None else layout.images(grey)
    spacing = layout.order.spacing(base.spacing) if base.is_volume else None
    boxes = boxes_of(report, base, layout)
    truth = usable(lambda: truth_of(report, folders, base, layout), notes)
    case = Case(report.case, imgs, boxes, spacing if layout.is_volume else None, (), layout.is_volume)
    return Opened(
        case,
        segs,
        None if spacing is None else tuple(spacing[-segs.ndim :].tolist()),
        "" if scan is None else scan.modality,
        Extras(truth, ends_of_slices(base, layout)),
        find_overlay(report, folders) if scan is None else None,
        notes,
    )


def find_image(
    report: CaseReport, folders: Folders, notes: list[str]
) -> tuple[Scan, NDArray[np.uint8]] | tuple[None, None]:
    """Return the image and its grey levels; nothing, and why in `notes`, where it cannot be read."""
    try:
        scan = read_scan(input_of(report, folders))
        return scan, to_grey(scan)[0]
    except (CaseError, OSError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        notes.append(f"masks are shown without their image: {reason}")
        return None, None


def find_overlay(report: CaseReport, folders: Folders) -> NDArray[np.uint8] | None:
    """Return the picture that the run drew, (h, w, 3) RGB; None where there is none, or another folder was named."""
    if not report.overlay or not may_be_path(report.overlay) or folders.cases is not None:
        return None
    try:
        drawn = read_scan(Path(report.overlay)).voxels
    except (CaseError, OSError):
        return None
    return drawn if drawn.dtype == np.uint8 and drawn.shape[2:] == (3,) else None


def read_result(path: Path, scan: Scan | None, objects: Sequence[ObjectReport]) -> tuple[Scan, NDArray[np.uint16]]:
    """Return the image, or without one the label map itself, and labels in the order of its voxels.

    Raises:
        CaseReadError: the result cannot be read, or is not of this image.

    """
    from repmedsam_infer.formats.dicom.seg_boxes import is_seg

    if path.suffix == ".dcm" and is_seg(path):
        if scan is None:
            raise CaseReadError(f"{path.name}: is a DICOM SEG, which lies on its images alone; name their folder (-i)")
        return scan, labels_of_segments(path, scan, objects)
    label_map = read_label_map(path)
    base = label_map if scan is None else scan
    return base, on_grid_of(base, label_map, whole_labels(label_map))


def labels_of_segments(path: Path, scan: Scan, objects: Sequence[ObjectReport]) -> NDArray[np.uint16]:
    """Return the segments of a DICOM SEG as labels, numbered as the objects of these names are."""
    from repmedsam_infer.formats.dicom.seg import segment_name
    from repmedsam_infer.formats.dicom.seg_boxes import visit_segments

    segments = np.zeros(scan.shape, np.uint16)

    def mark(number: int, indices: NDArray[np.intp]) -> None:
        segments[tuple(indices.T[::-1])] = min(max(number, 0), MAX_BOXES)

    names = visit_segments(path, scan, mark)
    numbers = np.arange(2**16, dtype=np.uint16)
    # Segments are numbered without gaps, in the order of labels; those of empty masks are left out.
    left = iter(sorted((one for one in objects if 0 < one.label <= MAX_BOXES), key=lambda one: one.label))
    for number, name in sorted(names.items()):
        label = next((one.label for one in left if (segment_name(one.name) or f"object {one.label}") == name), None)
        if label is not None and 0 < number <= MAX_BOXES:
            numbers[number] = label
    return numbers[segments]


def read_label_map(path: Path) -> Scan:
    """Return a label map of any kind that `repmedsam segment` writes."""
    if path.suffix != ".npz":
        return read_scan(path)
    with open_npz(path) as npz:
        labels = npz.read("segs")
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "iu":
        raise CaseReadError(f"{path.name}: segs is {labels.dtype} {labels.shape}, which is not a label map")
    return Scan(name_of(path), labels, is_volume=labels.ndim == 3)


def boxes_of(report: CaseReport, base: Scan, layout: CaseLayout) -> Boxes:
    """Return the boxes that report.json has, on the slices as they are shown; those that are none are left out."""
    shape, numbers = layout.shape, 2 * len(base.shape)
    known = [one for one in report.objects if is_box(one, numbers)]
    nothing = Boxes(np.zeros((0, 2 * len(shape))), np.zeros(0, np.int64), 0)
    if not known:
        return nothing
    try:
        boxes, _ = check_boxes(report.case, layout.boxes(np.array([one.box for one in known])), shape)
    except CaseReadError:
        return nothing
    labels = np.array([one.label for one in known])[boxes.labels - 1]
    return Boxes(boxes.corners, labels.astype(np.int64), boxes.count)


def is_box(one: ObjectReport, numbers: int) -> bool:
    return len(one.box) == numbers and bool(np.isfinite(one.box).all()) and 0 < one.label <= MAX_BOXES


def truth_of(report: CaseReport, folders: Folders, base: Scan, layout: CaseLayout) -> NDArray[Any] | None:
    """Return ground truth called as the image is, its labels those of the result, or None where there is none.

    Results are numbered by box. Boxes that were made of labels are called after these, which says what belongs
    together; else labels are taken to be the same.

    Raises:
        CaseReadError: it is there, and not on the image's voxels.

    """
    if folders.gts is None:
        return None
    wanted = name_of(Path(Path(report.input or report.case).name))
    found = sorted(path for path in folders.gts.iterdir() if name_of(path) == wanted)
    if not found:
        return None
    label_map = read_label_map(found[0])
    labels = on_grid_of(base, label_map, whole_labels(label_map))
    return layout.images(numbered(labels, report.objects))


def numbered(labels: NDArray[np.uint16], objects: Sequence[ObjectReport]) -> NDArray[np.uint16]:
    """Labels of a label map as the objects are numbered which are called "label 3" and so on, if all are."""
    said = [re.fullmatch(r"label (\d{1,5})", one.name) for one in objects]
    if not said or not all(said):
        return labels
    numbers = np.zeros(2**16, np.uint16)
    for match, one in zip(said, objects, strict=True):
        if match and int(match[1]) < len(numbers) and 0 < one.label <= MAX_BOXES:
            numbers[int(match[1])] = one.label
    return numbers[labels]
