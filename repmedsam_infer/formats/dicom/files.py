"""A DICOM file and its header: what kind it is, whether it is an image; or why it cannot be read."""

import contextlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.endings import DICOM
from repmedsam_infer.formats.opening import check_file

if TYPE_CHECKING:
    from pydicom import Dataset

DICOMDIR = "1.2.840.10008.1.3.10"
DEFLATED = "1.2.840.10008.1.2.1.99"
# Made of pixels, but no pictures of a patient.
NO_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation (SEG)",
    "1.2.840.10008.5.1.4.1.1.66.7": "a label map segmentation (SEG)",
    "1.2.840.10008.5.1.4.1.1.30": "a parametric map",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose (RTDOSE)",
    DICOMDIR: "a DICOMDIR (an index of other files)",
}
IMAGE_STORAGE = "Image Storage"  # how names of images' classes end
# How a data set begins that is no whole file: the first of its elements has group 2 or 8.
NO_PREAMBLE = (b"\2\0", b"\x08\0", b"\0\x08")
BRIEF = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality"]
BRIEF += ["ImageType", "Rows", "Columns", "NumberOfFrames"]

_ONE_AT_A_TIME = threading.Lock()  # what `tolerant` changes is the whole process's


@dataclass(frozen=True)
class DicomFile:
    """A file and its header; brief (the tags of BRIEF) until it is known to be wanted.

    name: what messages call it: its own, with those of the folders between where it was found in one.
    """

    path: Path
    header: "Dataset"
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.path.name)

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
        kinds = self.header.get("ImageType")
        return isinstance(kinds, Sequence) and "LOCALIZER" in map(str, kinds)

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
