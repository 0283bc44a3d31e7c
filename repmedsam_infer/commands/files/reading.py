"""How files are to be understood where they do not say it themselves."""

from dataclasses import dataclass, replace
from pathlib import Path

from repmedsam_infer.formats import read_scan
from repmedsam_infer.formats.intensity import Window, parse_window
from repmedsam_infer.formats.scan import Scan


@dataclass(frozen=True)
class Reading:
    """What the user says of all inputs.

    window: of parse_window; None for what suits each.
    modality: DICOM's word (CT, MR, ...), empty for what each file says.
    series: SeriesInstanceUID or series number, for DICOM folders that hold several.
    volume: which one, from 0, of files and series that hold several.
    """

    window: Window | str | None = None
    modality: str = ""
    series: str | None = None
    volume: int | None = None

    def scan(self, path: Path) -> Scan:
        """Raise what read_scan does."""
        scan = read_scan(path, self.series, self.volume)
        return replace(scan, modality=self.modality) if self.modality else scan


def make_reading(window: str | None, modality: str | None, series: str | None, volume: int | None = None) -> Reading:
    """Of options. Raises UsageError where there is no such window."""
    given = (modality or "").strip().upper()
    return Reading(None if window is None else parse_window(window), "PT" if given == "PET" else given, series, volume)
