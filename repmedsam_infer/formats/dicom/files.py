"""Which DICOM files make the one image that was asked for: a file alone, or one series of a folder.

Headers only; pixels are pixels.py's. What is no image (reports, contours, indices) and what is no DICOM at all is
left out with a warning where images are there too, and refused by its name where it is all there is.
"""

import contextlib
import filecmp
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.endings import DICOM
from repmedsam_infer.formats.opening import check_file

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_FILES = 20_000  # in one folder
MAX_NAMED = 8  # files, series or folders that a message names
DEFLATED = "1.2.840.10008.1.2.1.99"
# Made of pixels, but no pictures of a patient.
NO_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation (SEG)",
    "1.2.840.10008.5.1.4.1.1.66.7": "a label map segmentation (SEG)",
    "1.2.840.10008.5.1.4.1.1.30": "a parametric map",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose (RTDOSE)",
    "1.2.840.10008.1.3.10": "a DICOMDIR (an index of other files)",
}
IMAGE_STORAGE = "Image Storage"  # how names of images' classes end
# How a data set begins that is no whole file: the first of its elements has group 2 or 8.
NO_PREAMBLE = (b"\2\0", b"\x08\0", b"\0\x08")
BRIEF = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality"]
BRIEF += ["ImageType", "Rows", "Columns", "NumberOfFrames"]

_ONE_AT_A_TIME = threading.Lock()  # what `tolerant` changes is the whole process's


@dataclass(frozen=True)
class DicomFile:
    """A file and its header; brief (the tags of BRIEF) until it is known to be wanted."""

    path: Path
    header: "Dataset"

    @property
    def sop_class(self) -> str:
        meta = getattr(self.header, "file_meta", {})
        return str(self.header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")

    @property
    def kind(self) -> str:
        """What it is if not an image, for messages; empty for images."""
        from pydicom.uid import UID

        if self.sop_class in NO_IMAGES:
            return NO_IMAGES[self.sop_class]
        if "Rows" in self.header and "Columns" in self.header:
            return ""
        modality = self.header.get("Modality", "")
        name = UID(self.sop_class).name
        if name.endswith(IMAGE_STORAGE):
            return f"{name} without pixels, only a header"
        return f"{name or 'DICOM of an unknown kind'}{f' ({modality})' if modality else ''}"

    @property
    def is_header(self) -> bool:
        """Whether it is of an image's class, but has no pixels."""
        return self.kind.endswith("only a header")

    @property
    def is_localizer(self) -> bool:
        return "LOCALIZER" in (self.header.get("ImageType") or ())

    @property
    def series(self) -> str:
        return str(self.header.get("SeriesInstanceUID", ""))

    @property
    def series_number(self) -> str:
        return str(self.header.get("SeriesNumber") or "").strip()


@contextlib.contextmanager
def tolerant(notes: list[str]) -> Iterator[None]:
    """Pydicom without its objections to values that break a rule but can be read; its warnings become `notes`."""
    from pydicom.config import disable_value_validation

    with _ONE_AT_A_TIME, disable_value_validation(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    notes += dict.fromkeys(str(warning.message) for warning in caught)


def find_images(path: Path, series: str | None, notes: list[str]) -> list[DicomFile]:
    """Return the files of one series, each with its whole header; in order of name.

    Args:
        path: a file, or a folder (its files, not those of folders in it).
        series: SeriesInstanceUID or series number, where there are several.
        notes: takes what the user should know.

    Raises:
        CaseReadError: nothing is there, nothing of it is an image, or it is not clear which series is meant.

    """
    if path.is_dir():
        found = _images_in(path, notes)
        chosen = _choose_series(path.name, found, series)
        chosen = _without_localizers(_without_copies(chosen, notes), notes)
    else:
        chosen = [_image_at(path)]
        if series is not None:
            chosen = _choose_series(path.name, chosen, series)
    return [DicomFile(file.path, _public(read_header(file.path, None))) for file in chosen]


def read_header(path: Path, tags: Sequence[str] | None) -> "Dataset":
    """All of a file's header before its pixels, or only `tags`.

    Raises:
        NotDicomError: it is no DICOM file.
        CaseReadError: it cannot be opened or parsed.

    """
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info

    try:
        check_file(path)
        with path.open("rb") as stream:
            head = stream.read(132)
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error
    if head[128:] != b"DICM":
        if path.suffix.lower() in DICOM and head.startswith(NO_PREAMBLE):
            raise NotDicomError(
                f"{path.name}: is a DICOM data set without the 128 bytes and the mark that a file begins with; "
                "write it as a file first (dcmconv or gdcmconv do it)"
            )
        raise NotDicomError(f"{path.name}: is not a DICOM file (its first bytes are others)")
    try:
        syntax = read_file_meta_info(path).get("TransferSyntaxUID", "")
        if syntax == DEFLATED:  # a few bytes of it may inflate to any size
            raise CaseReadError(f"{path.name}: is deflated as a whole; write it plainly first, with dcmconv +te")
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Unexpected end of file|End of file reached")
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(tags) if tags else None)
        for keyword in BRIEF:  # parsed when first asked for
            header.get(keyword)
        for keyword in ("MediaStorageSOPClassUID", "TransferSyntaxUID"):
            header.file_meta.get(keyword)
    except CaseReadError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise CaseReadError(f"{path.name}: is a DICOM file, but damaged or cut off ({reason_of(error)})") from error
    return header


class NotDicomError(CaseReadError):
    """A file is no DICOM file."""


def reason_of(error: Exception) -> str:
    """Return what an error of pydicom's says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def _public(header: "Dataset") -> "Dataset":
    """Without private tags: makers keep a hundred kB of their own in each slice."""
    for tag in [tag for tag in header.keys() if tag.is_private]:  # noqa: SIM118  iterating would decode every value
        del header[tag]
    return header


def _image_at(path: Path) -> DicomFile:
    file = DicomFile(path, read_header(path, BRIEF))
    if file.sop_class == "1.2.840.10008.1.3.10":
        raise CaseReadError(f"{path.name}: is a DICOMDIR, an index of other files; give the folder of one series")
    if file.kind:
        advice = "export the image again" if file.is_header else "give the images that it was made from"
        raise CaseReadError(f"{path.name}: is {file.kind}, not an image; {advice}")
    return file


def _images_in(folder: Path, notes: list[str]) -> list[DicomFile]:
    """All images of a folder, with their brief headers."""
    name = folder.name
    try:
        entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise CaseReadError(f"{name}: the folder cannot be read ({error.strerror})") from error
    folders, paths = [p.name for p in entries if p.is_dir()], [p for p in entries if not p.is_dir()]
    if not paths:
        advice = f"; give one of the folders in it ({_listed(folders)})" if folders else ""
        raise CaseReadError(f"{name}: there are no files in this folder{advice}")
    if len(paths) > MAX_FILES:
        raise CaseReadError(f"{name}: {len(paths)} files in one folder; at most {MAX_FILES} are read")
    images: list[DicomFile] = []
    others: dict[str, list[str]] = {}
    foreign: list[str] = []
    for path in paths:
        try:
            file = DicomFile(path, read_header(path, BRIEF))
        except NotDicomError:
            foreign.append(path.name)
            continue
        if file.kind:
            others.setdefault(file.kind, []).append(path.name)
        else:
            images.append(file)
    if not images and not others:
        raise CaseReadError(f"{name}: none of the {len(paths)} files in this folder is a DICOM file")
    if not images:
        kinds = "; ".join(f"{kind}: {_listed(names)}" for kind, names in others.items())
        raise CaseReadError(f"{name}: no images in this folder, only {kinds}; give the folder of the images")
    if foreign:
        notes.append(f"{len(foreign)} files are not DICOM and were ignored ({_listed(foreign)})")
    notes += [f"{len(names)} files are {kind} and were ignored ({_listed(names)})" for kind, names in others.items()]
    return images


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")


def _choose_series(name: str, files: list[DicomFile], series: str | None) -> list[DicomFile]:
    """Those of the series that was asked for, or of the only one there is."""
    uids = dict.fromkeys(file.series for file in files)
    by_series = {uid: [file for file in files if file.series == uid] for uid in uids}
    if series is not None:
        wanted = series.strip()
        matching = [uid for uid, group in by_series.items() if wanted in (uid, group[0].series_number)]
        if len(matching) == 1:
            return by_series[matching[0]]
        problem = f"{len(matching)} series have the number {wanted}" if matching else f"there is no series {wanted}"
    elif len(by_series) == 1:
        return files
    else:
        problem = f"{len(by_series)} series"
    ordered = sorted(by_series.items(), key=lambda item: (len(item[1][0].series_number), item[1][0].series_number))
    lines = [_describe_series(uid, group) for uid, group in ordered]
    more = f"; and {len(lines) - MAX_NAMED} more" if len(lines) > MAX_NAMED else ""
    raise CaseReadError(
        f"{name}: {problem}; choose one by its number or SeriesInstanceUID with --series, "
        f"or give a folder that holds only it: {'; '.join(lines[:MAX_NAMED])}{more}"
    )


def _describe_series(uid: str, files: list[DicomFile]) -> str:
    header = files[0].header
    description = str(header.get("SeriesDescription") or "").strip() or "no description"
    modality = header.get("Modality") or "unknown modality"
    count = f"{len(files)} image{'s' if len(files) > 1 else ''}"
    return f"number {files[0].series_number or 'unknown'} ({description}, {modality}, {count}, {uid})"


def _without_copies(files: list[DicomFile], notes: list[str]) -> list[DicomFile]:
    """One file of each image; byte by byte equal copies are left out."""

    def instance(file: DicomFile) -> str:
        return str(file.header.get("SOPInstanceUID", ""))

    kept: list[DicomFile] = []
    copies: list[str] = []
    for _, group in groupby(sorted(files, key=lambda file: (instance(file), file.path)), instance):
        first, *others = group
        kept.append(first)
        for other in others:
            if filecmp.cmp(first.path, other.path, shallow=False):
                copies.append(other.path.name)
            else:
                kept.append(other)
    if copies:
        notes.append(f"{len(copies)} files are copies of others and were ignored ({_listed(copies)})")
    return sorted(kept, key=lambda file: file.path)


def _without_localizers(files: list[DicomFile], notes: list[str]) -> list[DicomFile]:
    images = [file for file in files if not file.is_localizer]
    if not images or len(images) == len(files):
        return files
    names = [file.path.name for file in files if file.is_localizer]
    notes.append(f"{len(names)} localizers among the images were ignored ({_listed(names)})")
    return images
