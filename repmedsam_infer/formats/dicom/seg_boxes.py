"""The boxes around the segments of a DICOM SEG, on the voxels of the image that it belongs to.

A SEG leaves out empty frames, and segments may overlap: it is no label map. Each frame's voxels are therefore looked up
in the image by where they lie.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.decoding import check_syntax, decoded_frames
from repmedsam_infer.formats.dicom.files import DicomFile, read_header, tolerant
from repmedsam_infer.formats.dicom.frames import DicomFrame, frames_of
from repmedsam_infer.formats.dicom.geometry import SlicePosition, axes_of
from repmedsam_infer.formats.dicom.pixels import check_size
from repmedsam_infer.formats.label_grid import GRID_TOLERANCE
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


def is_seg(path: Path) -> bool:
    """Whether the file is a DICOM SEG; False for whatever cannot be read."""
    try:
        with tolerant([]):
            return DicomFile(path, read_header(path, ["SOPClassUID"])).sop_class == SEGMENTATION
    except (CaseReadError, ImportError):
        return False


def seg_boxes(path: Path, scan: Scan) -> tuple[list[list[int]], list[str]]:
    """Of each segment that has voxels, x_min y_min [z_min] x_max y_max [z_max] and its name; in order of segments.

    Raises:
        CaseReadError: it is damaged, or its voxels are not the scan's.

    """
    ends: dict[int, tuple[NDArray[np.intp], NDArray[np.intp]]] = {}

    def widen(number: int, indices: NDArray[np.intp]) -> None:
        low, high = ends.get(number, (indices[0], indices[0]))
        ends[number] = np.minimum(low, indices.min(0)), np.maximum(high, indices.max(0))

    names = visit_segments(path, scan, widen)
    boxes = [[*low.tolist(), *high.tolist()] for _, (low, high) in sorted(ends.items())]
    return boxes, [names.get(number) or f"segment {number}" for number in sorted(ends)]


def visit_segments(path: Path, scan: Scan, visit: Callable[[int, NDArray[np.intp]], None]) -> dict[int, str]:
    """Call `visit`, frame by frame, with a segment's number and (N, 2) or (N, 3) indices x y [z] of voxels in the scan.

    Returns the segments' names by their numbers.

    Raises:
        CaseReadError: it is damaged, or its voxels are not the scan's.

    """
    with tolerant([]):
        header = read_header(path, None)
        frames = frames_of(DicomFile(path, header))
        check_size(path.name, frames)
        check_syntax(frames[0])
        names = _names(frames[0])
        for frame, stored in zip(frames, decoded_frames(frames[0], path), strict=False):
            number = frame.numbers("ReferencedSegmentNumber", 1, "SegmentIdentificationSequence")
            rows, columns = np.nonzero(stored >= _least(frame))
            if number is None or not len(rows):
                continue
            visit(int(number[0]), on_scan(path.name, frame, np.column_stack([columns, rows]), stored.shape, scan))
    return names


def _names(frame: DicomFrame) -> dict[int, str]:
    """Of each segment number, the segment's name."""
    segments = frame.find("SegmentSequence") or ()
    try:
        return {int(item.SegmentNumber): str(item.get("SegmentLabel", "")) for item in segments}
    except Exception as error:  # values are parsed only here
        raise CaseReadError(f"{frame.file}: its SegmentSequence cannot be read ({error})") from error


def _least(frame: DicomFrame) -> float:
    """Return the smallest stored value that is inside: half of the whole, in a SEG of fractions."""
    if frame.find("SegmentationType") == "FRACTIONAL":
        return max(frame.whole("MaximumFractionalValue", 255) / 2, 1)
    return 1


def on_scan(
    file: str, frame: DicomFrame, pixels: NDArray[np.intp], shape: tuple[int, ...], scan: Scan
) -> NDArray[np.intp]:
    """(N, 2) or (N, 3) indices x y [z] in the scan of (N, 2) columns and rows of a frame."""
    if scan.affine is None:
        if scan.is_volume or shape != scan.shape:
            raise CaseReadError(
                f"{file}: its frames of {shape[0]} x {shape[1]} pixels cannot be laid on {scan.name}, which has "
                f"{' x '.join(str(side) for side in scan.shape)} and no place in space"
            )
        return pixels
    position = frame.numbers("ImagePositionPatient", 3, "PlanePositionSequence")
    orientation = frame.numbers("ImageOrientationPatient", 6, "PlaneOrientationSequence")
    spacing = frame.numbers("PixelSpacing", 2, "PixelMeasuresSequence")
    if position is None or orientation is None or spacing is None:
        raise CaseReadError(f"{file}: {frame.name} does not say where it lies, and {scan.name} does")
    plane = SlicePosition(frame.name, np.array(position), np.array(orientation), np.array(spacing))
    along, down = axes_of(file, plane)
    mm = plane.position + np.outer(pixels[:, 0] * spacing[1], along) + np.outer(pixels[:, 1] * spacing[0], down)
    exact = (mm - scan.affine[:3, 3]) @ np.linalg.inv(scan.affine[:3, :3]).T
    indices = np.rint(exact).astype(np.intp)
    sides = np.array(scan.shape[::-1])
    if np.abs(exact - indices).max() > GRID_TOLERANCE or (indices < 0).any() or (indices >= sides).any():
        raise CaseReadError(
            f"{file}: its voxels in {frame.name} do not lie on those of {scan.name}; resample it to that image first, "
            "if it is of the same patient"
        )
    return indices
