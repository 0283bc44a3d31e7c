"""One plane of a DICOM image and what its header says of it, be it a file of its own or a frame among others.

Multi-frame files keep a value in one of three places: with the frame, with what all frames share, or as single-frame
files do. `DicomFrame.find` searches in that order.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.files import DicomFile

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_FRAMES = 100_000


@dataclass(frozen=True)
class DicomFrame:
    """A plane: its file's name and header, and its place in the file, from 0."""

    file: str
    header: "Dataset"
    index: int = 0
    is_only: bool = True

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.file if self.is_only else f"frame {self.index + 1}"

    def find(self, keyword: str, group: str = "") -> Any:
        """Return the value of `keyword`: of the frame in the group `group`, shared, or in the header; or None.

        Raises:
            CaseReadError: it is there and cannot be read.

        """
        try:
            if group:
                for item in self._groups():
                    parts = item.get(group)
                    if parts and parts[0].get(keyword) is not None:
                        return parts[0].get(keyword)
            return self.header.get(keyword)
        except Exception as error:  # a value is parsed only here, and pydicom raises whatever it leads it to
            raise CaseReadError(f"{self.file}: {keyword} cannot be read ({error})") from error

    def _groups(self) -> list["Dataset"]:
        per_frame = self.header.get("PerFrameFunctionalGroupsSequence") or []
        shared = self.header.get("SharedFunctionalGroupsSequence") or []
        return [*per_frame[self.index : self.index + 1], *shared[:1]]

    def numbers(self, keyword: str, count: int, group: str = "") -> tuple[float, ...] | None:
        """`count` finite numbers, the first ones of longer values; None where there is no value.

        Raises:
            CaseReadError: they are fewer, no numbers, or not finite.

        """
        value = self.find(keyword, group)
        if value is None or value == "":
            return None
        values = list(value) if not isinstance(value, (str, int, float)) and hasattr(value, "__iter__") else [value]
        if not values:
            return None
        try:
            numbers = tuple(float(v) for v in values[:count])
        except (TypeError, ValueError):
            raise CaseReadError(f"{self.file}: {keyword} of {self.name} is {value!s}, not a number") from None
        if len(numbers) < count or not all(math.isfinite(number) for number in numbers):
            shown = " ".join(str(v) for v in values)
            raise CaseReadError(
                f"{self.file}: {keyword} of {self.name} is [{shown}]; {count} finite numbers are needed. "
                "The header is damaged: export the image again"
            )
        return numbers

    def whole(self, keyword: str, default: int | None = None) -> int:
        """Return a whole number that all frames of the file share.

        Raises:
            CaseReadError: it is missing and has no default, or is no whole number.

        """
        numbers = self.numbers(keyword, 1)
        if numbers is None:
            if default is None:
                raise CaseReadError(f"{self.file}: {keyword} is missing from the header")
            return default
        if not numbers[0].is_integer():
            raise CaseReadError(f"{self.file}: {keyword} is {numbers[0]:g}; a whole number is needed")
        return int(numbers[0])


def frames_of(file: DicomFile) -> list[DicomFrame]:
    """Return the frames of a file, in its order.

    Raises:
        CaseReadError: their number makes no sense.

    """
    name = file.name
    first = DicomFrame(name, file.header)
    count = first.whole("NumberOfFrames", 1) or 1
    if not 1 <= count <= MAX_FRAMES:
        raise CaseReadError(f"{name}: declares {count} frames; 1 to {MAX_FRAMES} are read")
    groups = len(first.find("PerFrameFunctionalGroupsSequence") or [])
    if groups and groups != count:
        raise CaseReadError(f"{name}: declares {count} frames and describes {groups}: it is damaged; export it again")
    return [DicomFrame(name, file.header, index, count == 1) for index in range(count)]
