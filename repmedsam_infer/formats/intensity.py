"""A scan's values, to the grey levels 0 to 255 that the network takes.

CT by a window in Hounsfield units; MR, PET and others, whose units mean little, from one percentile to another, as
MedSAM's training data were made. Pictures of 8 bits are left alone.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.scan import Scan

Window = tuple[float, float]  # level, width

# Level and width in HU as radiologists commonly use them (radiopaedia.org, Windowing (CT)).
WINDOWS: dict[str, Window] = {
    "abdomen": (40, 400),
    "soft-tissue": (40, 400),
    "mediastinum": (50, 350),
    "lung": (-600, 1500),
    "brain": (40, 80),
    "bone": (400, 1800),
}
DEFAULT = "soft-tissue"
PERCENTILES = "percentiles"
LOW, HIGH = 0.5, 99.5  # per cent of the voxels that are not 0
LEAST_HU, MOST_HU = -3100, 4100  # that files of CT have, padding around the patient included
AIR, BONE = -900, 300  # HU: values that reach from below the one to above the other are those of a CT
VOLUME_AXES = 3
PIECE = 1 << 20  # values that are worked on at a time
FEW = 1 << 20  # voxels that are tested for whole numbers
SAMPLE = 1 << 24  # voxels that percentiles are taken of; of more, evenly many


def parse_window(text: str) -> Window | str:
    """Return a name of WINDOWS, PERCENTILES, or LEVEL,WIDTH.

    Raises:
        UsageError: it is none of these.

    """
    name = text.strip().lower().replace(" ", "-").replace("_", "-")
    if name in WINDOWS or name == PERCENTILES:
        return name
    try:
        level, width = (float(number) for number in text.split(","))
    except ValueError:
        level = width = np.nan
    if not (np.isfinite(level) and np.isfinite(width) and width > 0):
        names = ", ".join((*WINDOWS, PERCENTILES))
        raise UsageError(f"--window {text}: LEVEL,WIDTH (as -600,1500) or one of {names} is needed")
    return level, width


def to_grey(scan: Scan, window: Window | str | None = None) -> tuple[NDArray[np.uint8], list[str]]:
    """Grey levels or colours of the voxels' shape, and what the user should know of how they were made.

    Args:
        scan: of any number type.
        window: of parse_window, in the scan's values; None for what suits its modality.

    Raises:
        CaseReadError: no value is finite, or the window is for CT and the scan is not.

    """
    if scan.voxels.dtype.kind not in "iuf":
        raise CaseReadError(f"{scan.name}: its values are of type {scan.voxels.dtype}; numbers are needed")
    filled = filled_values(scan)
    grey, warnings = finite_to_grey(scan, window)
    return grey, [*filled, *warnings]


def finite_to_grey(scan: Scan, window: Window | str | None) -> tuple[NDArray[np.uint8], list[str]]:
    """`to_grey` of a scan that has finite values; those that are not take the grey level of the smallest that is."""
    voxels = scan.voxels
    if window is None and voxels.dtype == np.uint8:
        return voxels, []
    if window is None and scan.modality == "CT":
        return windowed(scan, *header_window(scan))
    if window is None and not scan.modality and looks_like_ct(scan):
        grey, warnings = windowed(scan, WINDOWS[DEFAULT], [])
        low, high = extent(voxels)
        return grey, [
            f"its values ({low:g} to {high:g}) look like a CT's: the window {DEFAULT} "
            f"({format_window(WINDOWS[DEFAULT])}) was used; choose with --window or --modality",
            *warnings,
        ]
    if window is None or window == PERCENTILES:
        grey, warnings = by_percentiles(scan)
        if window is None and not scan.modality and looks_like_part_of_ct(scan):
            low, high = extent(voxels)
            warnings.append(
                f"its values ({low:g} to {high:g}) may be Hounsfield units of a part of a CT, and were shown by "
                "percentiles; if they are, give --modality CT"
            )
        return grey, warnings
    if isinstance(window, str):
        if scan.modality not in ("", "CT"):
            raise CaseReadError(
                f"{scan.name}: is of the modality {scan.modality}, and the window {window} is in Hounsfield units of "
                "CT; give LEVEL,WIDTH in its own values, or none"
            )
        window = WINDOWS[window]
    return windowed(scan, window, [])


def filled_values(scan: Scan) -> list[str]:
    """Return a warning where values are NaN or infinite.

    Raises:
        CaseReadError: all of them are.

    """
    voxels = scan.voxels
    if voxels.dtype.kind != "f":
        return []
    bad = sum(int(np.count_nonzero(~np.isfinite(voxels[piece]))) for piece in pieces(voxels.shape))
    if bad == voxels.size:
        raise CaseReadError(f"{scan.name}: all of its values are NaN or infinite: it is damaged; export it again")
    if not bad:
        return []
    return [
        f"{bad:,} of its {voxels.size:,} values are NaN or infinite: they were taken for its smallest value "
        f"({extent(voxels)[0]:g})"
    ]


def header_window(scan: Scan) -> tuple[Window, list[str]]:
    """Return the window that a CT's file proposes, else soft tissue and a warning."""
    if scan.window is not None:
        return scan.window, []
    return WINDOWS[DEFAULT], [
        f"the file proposes no window: {DEFAULT} ({format_window(WINDOWS[DEFAULT])}) was used; choose with --window"
    ]


def looks_like_ct(scan: Scan) -> bool:
    if not may_be_ct(scan):
        return False
    low, high = extent(scan.voxels)
    return low <= AIR and high >= BONE


def may_be_ct(scan: Scan) -> bool:
    return scan.voxels.dtype.kind != "u" and scan.is_volume and scan.voxels.ndim == VOLUME_AXES


def looks_like_part_of_ct(scan: Scan) -> bool:
    """Whether values, whole and some negative, may be Hounsfield units of a part without air or without bone."""
    if not may_be_ct(scan):
        return False
    low, high = extent(scan.voxels)
    sample = sample_of(scan.voxels, FEW)
    return LEAST_HU <= low < 0 and high <= MOST_HU and bool((sample == np.rint(sample)).all())


def windowed(scan: Scan, window: Window, warnings: list[str]) -> tuple[NDArray[np.uint8], list[str]]:
    """Values at the window's lower end and below become 0, at its upper end and above 255."""
    level, width = window
    low, high = extent(scan.voxels)
    if low < high and (high <= level - width / 2 or low >= level + width / 2):
        warnings = [
            *warnings,
            f"the window {format_window(window)} shows nothing: its values are {low:g} to {high:g}, and all of them "
            f"{'below' if high <= level - width / 2 else 'above'} it",
        ]
    return scaled(scan.voxels, level - width / 2, level + width / 2), warnings


def by_percentiles(scan: Scan) -> tuple[NDArray[np.uint8], list[str]]:
    """MedSAM's: percentiles of what is not 0 become 0 and 255; in an image without negative values, 0 stays 0."""
    voxels = scan.voxels
    found = percentiles(voxels)
    if found is None:
        return np.zeros(voxels.shape, np.uint8), []
    low, high = found
    least, most = extent(voxels)
    warnings = []
    if not scan.is_volume and not scan.modality:
        warnings.append(f"its values ({least:g} to {most:g}) are not of 8 bits: {low:g} to {high:g} became 0 to 255")
    grey = scaled(voxels, low, high)
    for piece in pieces(voxels.shape) if least >= 0 else ():
        grey[piece][voxels[piece] == 0] = 0
    return grey, warnings


def percentiles(voxels: NDArray[Any]) -> tuple[float, float] | None:
    """Return the values that become 0 and 255, of those that are not 0; None where all are 0."""
    sample = sample_of(voxels, SAMPLE)
    sample = sample[sample != 0]
    if not len(sample):
        return None
    low, high = (float(value) for value in np.percentile(sample, (LOW, HIGH)))
    if low == high:
        return extent(voxels)  # all but a few are of one value
    return low, high


def window_used(scan: Scan, window: Window | str | None) -> Window | None:
    """Return the level and width that `to_grey` takes; None where grey levels are those of the file."""
    if isinstance(window, tuple):
        return window
    if window is None:
        if scan.voxels.dtype == np.uint8:
            return None
        if scan.modality == "CT":
            return header_window(scan)[0]
        if not scan.modality and looks_like_ct(scan):
            return WINDOWS[DEFAULT]
    if window in WINDOWS:
        return WINDOWS[str(window)]
    found = percentiles(scan.voxels)
    low, high = extent(scan.voxels) if found is None else found
    return (low + high) / 2, max(high - low, float(np.finfo(np.float32).tiny))


def sample_of(voxels: NDArray[Any], most: int) -> NDArray[Any]:
    """(N,) finite ones of evenly many of the voxels, `most` at most."""
    sample = voxels.reshape(-1)[:: -(-voxels.size // most)]
    return sample[np.isfinite(sample)] if voxels.dtype.kind == "f" else sample


def scaled(voxels: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """`low` and below to 0, `high` and above to 255, all to 0 where these are one; what is not finite as the smallest
    value; piece by piece, to save memory.
    """
    grey = np.zeros(voxels.shape, np.uint8)
    precise = np.float32 if voxels.dtype.itemsize <= 4 else np.float64
    least = extent(voxels)[0]
    for piece in pieces(voxels.shape) if high > low else ():
        values = voxels[piece].astype(precise)
        if voxels.dtype.kind == "f":
            values[~np.isfinite(values)] = least
        grey[piece] = (np.clip(values, low, high) - low) / (high - low) * 255
    return grey


def extent(voxels: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and the largest finite value."""
    if voxels.dtype.kind != "f":
        return float(voxels.min()), float(voxels.max())
    low, high = np.inf, -np.inf
    for piece in pieces(voxels.shape):
        values = voxels[piece]
        least, most = values.min(), values.max()
        if not (np.isfinite(least) and np.isfinite(most)):
            values = values[np.isfinite(values)]
            least, most = values.min(initial=np.inf), values.max(initial=-np.inf)
        low, high = min(low, float(least)), max(high, float(most))
    return low, high


def pieces(shape: tuple[int, ...]) -> Iterator[tuple[int | slice, ...]]:
    """Yield indices of parts of an array, of PIECE values at most where its last axis is no longer than that."""
    of_each = math.prod(shape[1:])
    if of_each > PIECE and len(shape) > 1:
        for index in range(shape[0]):
            for further in pieces(shape[1:]):
                yield (index, *further)
        return
    step = max(1, PIECE // max(of_each, 1))
    for start in range(0, shape[0], step):
        yield (slice(start, start + step),)


def format_window(window: Window) -> str:
    return f"{window[0]:g},{window[1]:g}"
