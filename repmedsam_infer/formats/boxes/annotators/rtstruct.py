"""Boxes of a DICOM RTSTRUCT: the extent of each ROI's contours.

Contours are outlines in mm LPS, each on a slice through the middle of its voxels: across slices an object reaches from
the first slice to the last one, both included; within them its outline is where it ends.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, SetupError
from repmedsam_infer.formats.boxes.entry import Entry, make_entry
from repmedsam_infer.formats.boxes.space import affine_of, between_faces, to_indices, to_voxels
from repmedsam_infer.formats.dicom.files import DicomFile, read_header, reason_of, tolerant
from repmedsam_infer.formats.dicom.series import DicomSource
from repmedsam_infer.formats.opening import check_file
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.system.memory import check_fits

if TYPE_CHECKING:
    from pydicom import Dataset

F64 = NDArray[np.float64]

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
MAX_BYTES = 128 << 20
GROWTH = 10  # bytes of memory a byte of a file of many short contours, about
MAX_NAMED = 8


def read_rtstruct(path: Path, scan: Scan, notes: list[str]) -> list[Entry]:
    """Return the box of voxels of each ROI, in order of the structure set.

    ROIs without contours, of points alone, or beside the image, are left out with a warning.

    Raises:
        CaseReadError: it is no RTSTRUCT, damaged, of another image, or has no ROI on this one.
        SetupError: pydicom is not installed.

    """
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise SetupError("DICOM needs pydicom: pip install 'repmedsam[files]'") from error
    file = path.name
    size = check_file(path)
    if size > MAX_BYTES:
        raise CaseReadError(f"{file}: is larger than {MAX_BYTES >> 20} MiB; export the ROIs that are needed alone")
    check_fits(file, size * GROWTH)
    with tolerant([]):
        header = read_header(path, None)
        opened = DicomFile(path, header)
        if opened.sop_class != RTSTRUCT:
            raise CaseReadError(
                f"{file}: is {opened.kind or 'a DICOM image'}, not an RTSTRUCT; label maps are for --boxes-from"
            )
        affine = affine_of(f"{file}: an RTSTRUCT", scan)
        try:
            check_image(file, header, scan)
            rois, elsewhere = contours_of(header, own_frame(scan))
        except CaseReadError:
            raise
        except Exception as error:  # values are parsed only here, and pydicom raises whatever they lead it to
            raise CaseReadError(f"{file}: its contours cannot be read ({reason_of(error)})") from error
    found = {}
    for i, (name, contours) in enumerate(rois, 1):
        if contours:
            low, high = box_of_contours(contours, affine)
            found[i] = make_entry(file, f"ROI {i} ({name})", [*low, *high], name, "voxels", 6)
    empty = [name for i, (name, _) in enumerate(rois, 1) if i not in found]
    if elsewhere:
        notes.append(f"ROIs of another frame of reference were left out ({listed(elsewhere)})")
    if empty:
        notes.append(f"ROIs without contours were left out ({listed(empty)})")
    return those_on(file, list(found.values()), scan, notes)


def those_on(file: str, entries: list[Entry], scan: Scan, notes: list[str]) -> list[Entry]:
    """Return the boxes that are on the scan; structure sets may have others (a couch). Raises where none is."""
    kept, beside, errors = [], [], []
    for entry in entries:
        try:
            to_voxels(f"{file}: {entry.where}", entry.box, entry.space, scan)
            kept.append(entry)
        except CaseReadError as error:
            beside.append(entry.name)
            errors.append(error)
    if errors and not kept:
        raise errors[0]
    if beside:
        notes.append(f"ROIs beside the image were left out ({listed(beside)})")
    return kept


def listed(names: list[str]) -> str:
    return ", ".join(name[:40] for name in names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")


def check_image(file: str, header: "Dataset", scan: Scan) -> None:
    """Check that a structure set is of the scan's frame of reference, or where that is not known, of its series.

    Raises:
        CaseReadError: both say what they belong to, and differ. Only scans that were read from DICOM say it.

    """
    if not isinstance(scan.source, DicomSource):
        return
    image = scan.source.headers[0]
    frames, series = set(), set()
    for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
        frames.add(str(frame.get("FrameOfReferenceUID") or ""))
        for study in frame.get("RTReferencedStudySequence") or ():
            for referenced in study.get("RTReferencedSeriesSequence") or ():
                series.add(str(referenced.get("SeriesInstanceUID") or ""))
    frames |= {str(roi.get("ReferencedFrameOfReferenceUID") or "") for roi in header.get("StructureSetROISequence", ())}
    for known, keyword, what in (
        (frames - {""}, "FrameOfReferenceUID", "frame of reference"),
        (series - {""}, "SeriesInstanceUID", "series"),
    ):
        own = str(image.get(keyword) or "")
        if own and known:
            if own not in known:
                raise CaseReadError(
                    f"{file}: was drawn on another {what} ({sorted(known)[0]}) than {scan.name} ({own}); "
                    "give the one of this image"
                )
            return


def own_frame(scan: Scan) -> str:
    """Return the UID of the frame of reference of a scan from DICOM, else an empty string."""
    return str(scan.source.headers[0].get("FrameOfReferenceUID") or "") if isinstance(scan.source, DicomSource) else ""


def contours_of(header: "Dataset", frame: str) -> tuple[list[tuple[str, list[F64]]], list[str]]:
    """Of each ROI the name and its contours, (N, 3) mm LPS, single points are none; and the names of those that say
    that they are of another frame of reference.
    """
    drawn: dict[int, list[F64]] = {}
    for item in header.get("ROIContourSequence") or ():
        contours = [
            points_of(contour)
            for contour in item.get("ContourSequence") or ()
            if str(contour.get("ContourGeometricType") or "") != "POINT" and "ContourData" in contour
        ]
        drawn.setdefault(int(item.ReferencedROINumber), []).extend(points for points in contours if len(points))
    here, elsewhere = [], []
    for roi in header.get("StructureSetROISequence") or ():
        name, stated = str(roi.get("ROIName") or "").strip(), str(roi.get("ReferencedFrameOfReferenceUID") or "")
        if frame and stated and stated != frame:
            elsewhere.append(name)
        else:
            here.append((name, drawn.get(int(roi.ROINumber), [])))
    return here, elsewhere


def points_of(contour: "Dataset") -> F64:
    """(N, 3) mm. Numbers are parsed at once: as pydicom's, each takes a hundred bytes."""
    raw: Any = contour.get_item("ContourData")
    value = raw.value if raw is not None else None
    fields = value.split(b"\\") if isinstance(value, bytes) else list(value or ())
    points = np.array(fields).astype(np.float64).reshape(-1, 3) if fields != [b""] else np.zeros((0, 3))
    if not np.isfinite(points).all():
        raise ValueError("a contour has a point that is not finite")
    return points


def box_of_contours(contours: list[F64], affine: F64) -> tuple[F64, F64]:
    """First and last voxel index, with fractions, of contours in mm."""
    indices = [to_indices(points, affine) for points in contours]
    low, high = np.min([points.min(0) for points in indices], 0), np.max([points.max(0) for points in indices], 0)
    first, last = between_faces(low, high)
    extent = np.max([np.ptp(points, 0) for points in indices], 0)
    across = 2 - int(extent[::-1].argmin())  # the axis that contours are flat along; of several the last
    first[across], last[across] = low[across], high[across]
    return first, last
