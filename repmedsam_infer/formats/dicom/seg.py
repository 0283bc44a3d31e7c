"""A label map to a DICOM segmentation (SEG) beside the images that it was made from.

A SEG refers to its images one by one, stays in their study and frame of reference, and is a series of its own: 3D
Slicer, OHIF and other viewers lay it over the images by its references.
"""

import copy
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer import __version__
from repmedsam_infer.errors import CaseWriteError, SetupError
from repmedsam_infer.formats.dicom.files import reason_of, tolerant
from repmedsam_infer.formats.dicom.series import DicomSource
from repmedsam_infer.formats.label_grid import present_labels, renumbered
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.io.atomic import write_result

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES_DESCRIPTION = "RepMedSAM - for research, not for diagnosis"
SERIES_OFFSET = 1000  # added to the images' series number
MAX_NAME = 64  # characters of DICOM's type LO
# A box says where something is, not what: the least that viewers accept.
TISSUE = ("85756007", "SCT", "Tissue")
ARTIFICIAL_INTELLIGENCE = ("123109", "DCM", "Artificial Intelligence")
NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
# May be empty, but have to be there.
MAY_BE_EMPTY = ["PatientID", "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"]
MAY_BE_EMPTY += ["StudyID", "StudyDate", "StudyTime", "AccessionNumber"]


def write_seg(path: Path, labels: NDArray[Any], scan: Scan, names: Sequence[str] | None = None) -> None:
    """Write the objects of a label map as a binary SEG, whole or not at all.

    Segment numbers have no gaps: labels without voxels are left out, the k-th label that has some becomes segment k.
    Its name stays with it; frames without voxels are left out, as SEG allows.

    Args:
        path: where to; replaced if it is there.
        labels: integers of scan.shape, 0 for background.
        scan: what read_dicom gave.
        names: of label 1, 2, ...; "object 1", "object 2", ... where there is none.

    Raises:
        CaseWriteError: the scan is not from DICOM files, nothing was segmented, the images lack what a SEG refers to,
            or the disk is full.
        SetupError: highdicom is not installed.

    """
    source = scan.source
    if not isinstance(source, DicomSource):
        raise CaseWriteError(
            f"{path.name}: a DICOM SEG refers to the DICOM images that it was made from, and {scan.name} was not read "
            "from any; write the result in the image's own format"
        )
    if labels.shape != scan.shape:
        raise CaseWriteError(f"{path.name}: labels of shape {labels.shape} for {scan.name} of shape {scan.shape}")
    present = present_labels(labels)
    if not len(present):
        raise CaseWriteError(f"{path.name}: nothing was segmented, and a DICOM SEG without a segment is not valid")
    if scan.is_volume and scan.affine is None:
        raise CaseWriteError(
            f"{path.name}: the frames of {scan.name} do not say where they lie, and a DICOM SEG needs that; "
            "write another format"
        )
    try:
        with tolerant([]):  # what there was to say of the headers' values was said when they were read
            numbered = renumbered(labels, present).reshape(-1, *labels.shape[-2:])
            content = _encode(path.name, numbered, scan, source, _segments(present, names))
    except ImportError as error:
        raise SetupError("DICOM SEG needs highdicom: pip install 'repmedsam[files]'") from error
    write_result(path, content, "the segmentation")


def _encode(name: str, labels: NDArray[Any], scan: Scan, source: DicomSource, segments: list[Any]) -> memoryview:
    """Return the file's bytes."""
    from highdicom import UID
    from highdicom.seg import Segmentation, SegmentationTypeValues

    headers = [_complete(name, header) for header in source.headers]
    if source.frames:  # highdicom needs the file's order
        in_file = np.zeros_like(labels)
        in_file[list(source.frames)] = labels
        labels = in_file
    try:
        seg = Segmentation(
            source_images=headers,
            pixel_array=labels,
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=UID(),
            series_number=int(headers[0].get("SeriesNumber") or 0) % 100_000 + SERIES_OFFSET,
            sop_instance_uid=UID(),
            instance_number=1,
            manufacturer="RepMedSAM",
            manufacturer_model_name="RepMedSAM",
            software_versions=__version__,
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description=SERIES_DESCRIPTION,
            series_description=SERIES_DESCRIPTION,
            specific_character_set="ISO_IR 192",  # the names' characters, whatever the images' are
        )
        buffer = io.BytesIO()
        seg.save_as(buffer)
    except Exception as error:  # highdicom raises all sorts where images are not what their kind demands
        raise CaseWriteError(
            f"{name}: no DICOM SEG can be made for {scan.name} ({reason_of(error)}); write another format"
        ) from error
    return buffer.getbuffer()


def _complete(name: str, header: "Dataset") -> "Dataset":
    """Return a copy of an image's header with everything that a SEG takes from it: anonymizing often leaves gaps."""
    from highdicom import PatientSexValues
    from pydicom.valuerep import DA, TM

    missing = [keyword for keyword in NEEDED if not header.get(keyword)]
    if missing:
        raise CaseWriteError(
            f"{name}: the images have no {', '.join(missing)}, by which a DICOM SEG refers to them; "
            "write another format"
        )
    full = copy.copy(header)
    for keyword in MAY_BE_EMPTY:
        if full.get(keyword) is None:
            setattr(full, keyword, "")
    for keyword, parse in (
        ("PatientSex", PatientSexValues),
        ("StudyDate", DA),
        ("PatientBirthDate", DA),
        ("StudyTime", TM),
    ):
        try:
            parse(full.get(keyword) or None)
        except ValueError:
            setattr(full, keyword, "")
    return full


def _segments(present: NDArray[np.intp], names: Sequence[str] | None) -> list[Any]:
    """Of each label that is present, highdicom's description of its segment."""
    from highdicom import UID, AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.coding import Code

    from repmedsam_infer.drawing.label_colours import label_color

    algorithm = AlgorithmIdentificationSequence(
        name="RepMedSAM", family=Code(*ARTIFICIAL_INTELLIGENCE), version=__version__
    )
    segments = []
    for number, label in enumerate(present.tolist(), 1):
        name = segment_name(names[label - 1]) if names and label <= len(names) else ""
        name = name or f"object {label}"
        segments.append(
            SegmentDescription(
                segment_number=number,
                segment_label=name,
                segmented_property_category=Code(*TISSUE),
                segmented_property_type=Code(*TISSUE),
                # A person's box is half of it.
                algorithm_type=SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
                algorithm_identification=algorithm,
                tracking_uid=UID(),
                tracking_id=name,
                display_color=CIELabColor.from_rgb(*label_color(label)),
            )
        )
    return segments


def segment_name(name: str) -> str:
    """Return what of a name DICOM can hold: no control characters, no backslash, at most MAX_NAME characters."""
    printable = "".join(character if character.isprintable() else " " for character in name)
    return printable.replace("\\", "/").strip()[:MAX_NAME].strip()
