"""Stored numbers of DICOM pixels to real-world ones: slope and intercept or a table, inversion, padding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.frames import DicomFrame

# Their values are measured in units (HU, activity): MONOCHROME1 says how to show them, not what they mean.
MEASURED = ("CT", "PT")
LARGEST_WHOLE = 2.0**62  # that 64 bits hold, with room for a difference


class Rescaling:
    """Stored numbers of one frame to real-world ones.

    low, high: what the header lets real-world values reach.
    is_whole: whether they are whole numbers.
    """

    def __init__(self, frame: DicomFrame) -> None:
        self.frame = frame
        bits, allocated = frame.whole("BitsStored", frame.whole("BitsAllocated")), frame.whole("BitsAllocated")
        if not 1 <= bits <= allocated <= 64:
            raise CaseReadError(f"{frame.file}: declares {bits} of {allocated} bits a pixel: the header is damaged")
        self.is_signed = frame.whole("PixelRepresentation", 0) == 1
        self.allocated = allocated
        stored = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if self.is_signed else (0, (1 << bits) - 1)
        group = "PixelValueTransformationSequence"
        slope, intercept = frame.numbers("RescaleSlope", 1, group), frame.numbers("RescaleIntercept", 1, group)
        self.slope = 1.0 if slope is None else slope[0]
        self.intercept = 0.0 if intercept is None else intercept[0]
        self.table = bool(frame.find("ModalityLUTSequence")) and slope is None
        if self.slope == 0:
            raise CaseReadError(f"{frame.file}: RescaleSlope of {frame.name} is 0, which makes all pixels alike")
        # A table's numbers, whatever they are, have at most 16 bits.
        ends = (0.0, 65535.0) if self.table else [end * self.slope + self.intercept for end in stored]
        self.low, self.high = sorted(ends)
        self.is_whole = (
            float(self.slope).is_integer()
            and float(self.intercept).is_integer()
            and max(abs(self.low), abs(self.high), abs(self.intercept)) < LARGEST_WHOLE
        )
        inverted = frame.find("PhotometricInterpretation") == "MONOCHROME1"
        self.is_inverted = inverted and str(frame.find("Modality") or "") not in MEASURED
        self.padding = self._padding()

    def _padding(self) -> tuple[int, int] | None:
        """First and last stored number that means no pixel at all."""
        value = self.frame.numbers("PixelPaddingValue", 1)
        if value is None:
            return None
        limit = self.frame.numbers("PixelPaddingRangeLimit", 1) or value
        # Some writers put negative ones down as unsigned, or the other way round.
        half, size = (1 << (self.allocated - 1)) if self.is_signed else 0, 1 << self.allocated
        ends = sorted((int(end) + half) % size - half for end in (value[0], limit[0]))
        return ends[0], ends[1]

    def apply(self, stored: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Real-world values of (H, W) stored ones, as float64 or whole; and which of them are padding."""
        padded = None
        if self.padding is not None:
            padded = (stored >= self.padding[0]) & (stored <= self.padding[1])
        if self.table:
            from pydicom.pixels.processing import apply_modality_lut

            try:
                values = apply_modality_lut(stored, self.frame.header)
            except Exception as error:  # pydicom raises whatever a damaged table leads it to
                raise CaseReadError(f"{self.frame.file}: its ModalityLUTSequence cannot be used ({error})") from error
        elif self.is_whole:
            values = stored.astype(np.int64) * int(self.slope) + int(self.intercept)
        else:
            values = stored * np.float64(self.slope) + self.intercept
        return (self.invert(values) if self.is_inverted else values), padded

    def invert(self, value: Any) -> Any:
        """Return a value, or an array of them, mirrored in the range."""
        return self.low + self.high - value


def smallest_type(rescalings: Sequence[Rescaling]) -> np.dtype[Any]:
    if not all(rescaling.is_whole for rescaling in rescalings):
        return np.dtype(np.float32)
    low, high = min(r.low for r in rescalings), max(r.high for r in rescalings)
    for dtype in (np.uint8, np.int16, np.uint16, np.int32, np.int64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.float32)
