"""DICOM files for tests, written by pydicom: series and multi-frame images that lie anywhere in space."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

F64 = NDArray[np.float64]
STORAGES = {"CT": CTImageStorage, "MR": MRImageStorage}


def rotated(seed: int = 0) -> F64:
    """(3, 3) rotation: columns are the directions of x, y and z."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    q[:, 2] *= np.sign(np.linalg.det(q))
    return q


def affine_of(rotation: F64, spacing: tuple[float, float, float], origin: tuple[float, float, float]) -> F64:
    """Spacing x y z."""
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array(spacing)
    affine[:3, 3] = origin
    return affine


def ds(values: Any) -> list[str]:
    """Decimal strings as scanners write them: 16 characters at most."""
    return [f"{value:.10g}"[:16] for value in np.asarray(values, float).ravel()]


def image(pixels: NDArray[Any], sop_class: str, modality: str) -> FileDataset:
    """A header and pixels, (H, W), (F, H, W) or RGB of either; nowhere in space."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    out.SOPClassUID, out.SOPInstanceUID = sop_class, str(meta.MediaStorageSOPInstanceUID)
    out.StudyInstanceUID, out.SeriesInstanceUID = "1.2.826.0.1.1", "1.2.826.0.1.2"
    out.PatientName, out.PatientID, out.PatientBirthDate, out.PatientSex = "Doe^Jane", "P1", "19500101", "F"
    out.StudyDate, out.StudyTime, out.StudyID, out.AccessionNumber = "20240501", "101500", "S1", "A1"
    out.ReferringPhysicianName = ""
    out.Modality, out.SeriesNumber, out.InstanceNumber, out.SeriesDescription = modality, 3, 1, "drawn"
    colours = pixels.ndim > 2 and pixels.shape[-1] == 3
    out.SamplesPerPixel = 3 if colours else 1
    out.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    if colours:
        out.PlanarConfiguration = 0
    plane = pixels.shape[:-1] if colours else pixels.shape
    if len(plane) == 3:
        out.NumberOfFrames = plane[0]
    out.Rows, out.Columns = plane[-2:]
    bits = pixels.dtype.itemsize * 8
    out.BitsAllocated, out.BitsStored, out.HighBit = bits, bits, bits - 1
    out.PixelRepresentation = int(pixels.dtype.kind == "i")
    out.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    out["PixelData"].VR = "OB" if bits == 8 else "OW"
    return out


def write_series(
    folder: Path,
    voxels: NDArray[Any],
    affine: F64,
    modality: str = "CT",
    edit: Callable[[Dataset, int], None] | None = None,
    order: list[int] | None = None,
) -> Path:
    """Single-frame files of a (D, H, W) volume of stored values; `edit` changes slice z's before it is written.

    Names and InstanceNumber count in `order` (of z), by default from the last slice to the first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, z in enumerate(order or list(reversed(range(len(voxels)))), 1):
        dataset = image(voxels[z], STORAGES.get(modality, CTImageStorage), modality)
        dataset.InstanceNumber = number
        dataset.FrameOfReferenceUID = "1.2.826.0.1.3"
        dataset.PositionReferenceIndicator = ""
        place(dataset, affine, z)
        if edit:
            edit(dataset, z)
        dataset.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)
    return folder


def place(dataset: Dataset, affine: F64, z: int) -> None:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    dataset.ImagePositionPatient = ds(affine[:3, 2] * z + affine[:3, 3])
    dataset.ImageOrientationPatient = ds([*axes[:, 0], *axes[:, 1]])
    dataset.PixelSpacing = ds([spacing[1], spacing[0]])
    dataset.SliceThickness = ds([spacing[2]])[0]


def group(**values: Any) -> Sequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])


def enhanced(voxels: NDArray[Any], affine: F64, order: list[int], slopes: list[float] | None = None) -> FileDataset:
    """An Enhanced CT file of a (D, H, W) volume whose k-th frame is slice order[k]."""
    out = image(voxels[order], EnhancedCTImageStorage, "CT")
    out.FrameOfReferenceUID, out.PositionReferenceIndicator = "1.2.826.0.1.3", ""
    out.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    shared = Dataset()
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=ds([*axes[:, 0], *axes[:, 1]]))
    shared.PixelMeasuresSequence = group(PixelSpacing=ds(spacing[1::-1]), SliceThickness=ds([spacing[2]])[0])
    shared.FrameVOILUTSequence = group(WindowCenter=["40", "600"], WindowWidth=["400", "1500"])
    out.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for z in order:
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=ds(affine[:3, 2] * z + affine[:3, 3]))
        slope = 1 if slopes is None else slopes[z]
        frame.PixelValueTransformationSequence = group(
            RescaleSlope=str(slope), RescaleIntercept="-1024", RescaleType="HU"
        )
        frame.FrameContentSequence = group(StackID="1", InStackPositionNumber=z + 1, DimensionIndexValues=[z + 1])
        frames.append(frame)
    out.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return out


def film(pixels: NDArray[Any]) -> FileDataset:
    """An ultrasound film: frames that lie nowhere."""
    return image(pixels, UltrasoundMultiFrameImageStorage, "US")


def save(dataset: FileDataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def index_of(files: list[list[str]]) -> FileDataset:
    """A DICOMDIR that lists files, each by the parts of its path."""
    out = image(np.zeros((1, 1), np.uint8), MediaStorageDirectoryStorage, "")
    for keyword in ("Rows", "Columns", "PixelData", "Modality"):
        delattr(out, keyword)
    out.DirectoryRecordSequence = Sequence()
    for parts in files:
        record = Dataset()
        with disable_value_validation():
            record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", parts
        out.DirectoryRecordSequence.append(record)
    return out
