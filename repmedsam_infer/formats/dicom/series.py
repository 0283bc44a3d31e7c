"""DICOM images: a folder with one series, a multi-frame file, or a picture, to a `Scan`.

    files ── which series? ──> frames ── where do they lie? ──> stack ── pixels ──> voxels
     folders.py    frames.py         geometry.py        pixels.py

Slices are put in order by where their headers say they lie, never by name or number. What cannot be put in order beyond
doubt is refused: a volume that is silently flipped, shifted or squeezed looks right and is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, SetupError
from repmedsam_infer.formats.dicom.files import DicomFile, tolerant
from repmedsam_infer.formats.dicom.folders import find_images
from repmedsam_infer.formats.dicom.frames import DicomFrame, frames_of
from repmedsam_infer.formats.dicom.geometry import SlicePosition, stack_planes
from repmedsam_infer.formats.dicom.pixels import check_size, read_voxels
from repmedsam_infer.formats.dicom.rescale import Rescaling
from repmedsam_infer.formats.dicom.times import frames_of_volume
from repmedsam_infer.formats.endings import name_of
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.volumes import choose_volume

if TYPE_CHECKING:
    from pydicom import Dataset

# Whose frames have places, but others than the patient's.
OWN_SPACE = {
    "1.2.840.10008.5.1.4.1.1.6.2": "an Enhanced US Volume, whose frames lie in the transducer's space",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "a whole slide image, whose frames are tiles",
    "1.2.840.10008.5.1.4.1.1.20": "a nuclear medicine image, whose frames may be times, energies or angles",
}


MISSING = 1.8  # times the distance that the header states: slices farther apart than that have had others between them


@dataclass(frozen=True)
class DicomSource:
    """What a result is derived from (seg.py).

    headers: of each slice's file, in the voxels' order, without pixels and private tags; one for a multi-frame file.
    frames: of a multi-frame file, the frame (from 0) of each slice; empty for single-frame files.
    """

    headers: tuple["Dataset", ...]
    frames: tuple[int, ...] = ()

    @property
    def is_part(self) -> bool:
        """Whether the file has frames of other volumes, too: highdicom makes no SEG of such files."""
        return bool(self.frames) and int(self.headers[0].get("NumberOfFrames") or 1) > len(self.frames)


def read_dicom(path: Path, series: str | None = None, volume: int | None = None) -> Scan:
    """Read a folder of one series, or one file.

    A folder's images, or a file's frames, become a volume: voxels[z, y, x] is column x of row y of slice z, slices in
    order along the normal of ImageOrientationPatient (columns x rows, right-handed). One image alone becomes a
    picture, and so does one slice of a CT alone. Frames that lie nowhere (ultrasound films, angiography) become a
    volume without an affine, in the file's order, with a warning. Values are those of dicom_pixels.read_voxels.

    Args:
        path: the folder or the file.
        series: SeriesInstanceUID or series number, where a folder holds several.
        volume: which one, from 0, where there are several images at each position.

    Raises:
        CaseReadError: there is no image, not one, or not one that can be read without a doubt.
        SetupError: pydicom is not installed.

    """
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise SetupError("DICOM needs pydicom: pip install 'repmedsam[files]'") from error
    if not path.exists() and not path.is_symlink():
        raise CaseReadError(f"{path.name}: is not there")
    notes: list[str] = []
    with tolerant(notes):
        return _read(path, series, volume, notes)


def _read(path: Path, series: str | None, volume: int | None, notes: list[str]) -> Scan:
    name = path.name
    files = find_images(path, series, notes)
    frames = _frames(name, files)
    paths = {file.name: file.path for file in files}
    affine, is_volume = None, len(frames) > 1
    if is_volume:
        check_size(name, frames)  # a localizer's sizes say more than its directions
        planes = _planes(name, frames, notes)
        if planes:
            chosen = frames_of_volume(name, frames, planes, volume, notes)
            frames, planes = [frames[i] for i in chosen], [planes[i] for i in chosen]
        else:
            choose_volume(name, 1, volume)
        if len(planes) > 1:
            order, affine = stack_planes(name, planes)
            frames = [frames[i] for i in order]
            warn_of_gaps(frames[0], float(np.linalg.norm(affine[:3, 2])), notes)
        is_volume = len(frames) > 1
    else:
        choose_volume(name, 1, volume)
    voxels = read_voxels(name, frames, paths)
    multi_frame = len(files) == 1 and not frames[0].is_only
    headers = (files[0].header,) if multi_frame else tuple(frame.header for frame in frames)
    middle = frames[len(frames) // 2]
    return Scan(
        name=name if path.is_dir() else name_of(path),
        voxels=voxels if is_volume else voxels[0],
        is_volume=is_volume,
        affine=affine,
        modality=str(middle.find("Modality") or ""),
        window=_window(middle) if voxels.dtype != np.uint8 or voxels.shape[-1] != 3 else None,
        slice_axis=2,  # a series is a stack along its normal
        source=DicomSource(headers, tuple(frame.index for frame in frames) if multi_frame else ()),
        warnings=tuple(notes),
    )


def _frames(name: str, files: Sequence[DicomFile]) -> list[DicomFrame]:
    frames = [frames_of(file) for file in files]
    several = [file.name for file, of_file in zip(files, frames, strict=True) if len(of_file) > 1]
    if several and len(files) > 1:
        raise CaseReadError(
            f"{name}: {len(files)} files in this series, {len(several)} of them with several frames each "
            f"({several[0]}, ...); give one of them"
        )
    return [frame for of_file in frames for frame in of_file]


def _planes(name: str, frames: Sequence[DicomFrame], notes: list[str]) -> list[SlicePosition]:
    """Where frames lie; empty for those of a film, which lie nowhere."""
    sop_class = str(frames[0].find("SOPClassUID") or "")
    if sop_class in OWN_SPACE:
        raise CaseReadError(f"{name}: is {OWN_SPACE[sop_class]}; export it as a series of slices, or one frame of it")
    planes = [_plane(frame) for frame in frames]
    known = [plane for plane in planes if plane is not None]
    if len(known) == len(planes):
        return known
    lost = next(frame for frame, plane in zip(frames, planes, strict=True) if plane is None)
    if known:
        raise CaseReadError(f"{name}: {lost.name} does not say where it lies, others do; take away what is no slice")
    if lost.is_only:
        raise CaseReadError(
            f"{name}: {len(frames)} pictures that do not say where they lie (no ImagePositionPatient) are no volume; "
            "give one of them"
        )
    notes.append(
        f"its {len(frames)} frames do not say where they lie: they were taken for slices in the file's order, "
        "and sizes in mm are unknown"
    )
    return []


def warn_of_gaps(frame: DicomFrame, step: float, notes: list[str]) -> None:
    """Warn where slices, `step` mm apart, lie so much farther from each other than the header says that some may be
    missing, at even distances.
    """
    said = frame.numbers("SpacingBetweenSlices", 1, "PixelMeasuresSequence")
    if said is None or not said[0] or step < MISSING * abs(said[0]):
        return
    notes.append(
        f"its slices lie {step:.2f} mm apart, and its header says {abs(said[0]):.2f} mm (SpacingBetweenSlices): "
        "slices may be missing between them"
    )


def _plane(frame: DicomFrame) -> SlicePosition | None:
    position = frame.numbers("ImagePositionPatient", 3, "PlanePositionSequence")
    orientation = frame.numbers("ImageOrientationPatient", 6, "PlaneOrientationSequence")
    spacing = frame.numbers("PixelSpacing", 2, "PixelMeasuresSequence")
    if position is None or orientation is None:
        return None
    if spacing is None:
        raise CaseReadError(f"{frame.file}: says where it lies but not how large its pixels are (PixelSpacing)")
    return SlicePosition(frame.name, _array(position), _array(orientation), _array(spacing))


def _array(numbers: tuple[float, ...]) -> NDArray[np.float64]:
    return np.array(numbers, np.float64)


def _window(frame: DicomFrame) -> tuple[float, float] | None:
    """Return the first (level, width) that the header proposes, as it is for the voxels."""
    group = "FrameVOILUTSequence"
    level, width = frame.numbers("WindowCenter", 1, group), frame.numbers("WindowWidth", 1, group)
    if level is None or width is None or width[0] <= 0:
        return None
    rescaling = Rescaling(frame)
    return (float(rescaling.invert(level[0])) if rescaling.is_inverted else level[0]), width[0]
