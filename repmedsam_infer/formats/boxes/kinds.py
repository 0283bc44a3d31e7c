"""Kinds of files of boxes, found by ending and content.

.json: 3D Slicer's markups, COCO, LabelMe, or our own (file.py). .csv, .tsv: a table. DICOM: an RTSTRUCT.
"""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.boxes.annotators.coco import is_coco, read_coco
from repmedsam_infer.formats.boxes.annotators.labelme import is_labelme, read_labelme
from repmedsam_infer.formats.boxes.annotators.markups import is_markups, read_markups
from repmedsam_infer.formats.boxes.csv_boxes import read_csv, read_table
from repmedsam_infer.formats.boxes.entry import Entry
from repmedsam_infer.formats.boxes.json_boxes import read_json
from repmedsam_infer.formats.endings import DICOM, ending_of
from repmedsam_infer.formats.opening import check_file
from repmedsam_infer.formats.scan import Scan

Reader = Callable[[str, Any, str, Scan, list[str]], list[Entry]]

MAX_BYTES = 16 << 20
TABLES = (".csv", ".tsv")
FOREIGN: tuple[tuple[Callable[[Any], bool], Reader], ...] = (
    (is_markups, read_markups),
    (is_coco, read_coco),
    (is_labelme, read_labelme),
)


def read_entries(path: Path, scan: Scan, case_name: str) -> tuple[list[Entry], list[str]]:
    """Return the boxes of a case, and what the user should know.

    Raises:
        CaseReadError, SetupError: as `file.read_boxes`.

    """
    notes: list[str] = []
    if is_dicom(path):
        from repmedsam_infer.formats.boxes.annotators.rtstruct import read_rtstruct

        return read_rtstruct(path, scan, notes), notes
    ending = path.suffix.lower()
    if ending in TABLES:
        return read_csv(path.name, read_text(path), case_name, scan, notes), notes
    if ending != ".json":
        hint = "; a label map is for --boxes-from" if ending_of(path) else ""
        raise CaseReadError(
            f"{path.name}: boxes are read from .json (also of 3D Slicer, COCO, LabelMe), .csv and .tsv files, "
            f"and from RTSTRUCT (.dcm){hint}"
        )
    content, constant = load_json(path)
    reader = next((read for is_kind, read in FOREIGN if is_kind(content)), None)
    if reader is None and constant:
        raise CaseReadError(f"{path.name}: holds {constant}; finite numbers are needed")
    return (reader or read_json)(path.name, content, case_name, scan, notes), notes


def of_one_image(path: Path) -> str:
    """Return in words why a file can only have the boxes of one image; empty where it names images, or is damaged."""
    with suppress(CaseReadError):
        if is_dicom(path):
            return "an RTSTRUCT belongs to one image"
        if path.suffix.lower() in TABLES:
            return "" if "case" in read_table(path.name, read_text(path)).header else "it has no column 'case'"
        if path.suffix.lower() == ".json":
            content, _ = load_json(path)
            if is_markups(content):
                return "markups do not say which image they are on"
            if is_labelme(content) and not content.get("imagePath"):
                return "it does not say which image it is of (imagePath)"
            if not (is_coco(content) or is_labelme(content) or (isinstance(content, dict) and "cases" in content)):
                return 'it is a list of boxes, without names of images; write {"cases": {"NAME": [...], ...}}'
    return ""


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its ending or its first bytes."""
    check_file(path)
    if path.suffix.lower() in DICOM:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error


def load_json(path: Path) -> tuple[Any, str]:
    """Return what a JSON file holds, and the first NaN or infinity in it, by its name.

    Raises:
        CaseReadError: it is none, or names something twice.

    """
    check_file(path)
    found = path.stat()
    return _load_json(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1)  # each image of a run needs the same file
def _load_json(path: Path, _changed: int, _size: int) -> tuple[Any, str]:
    constants: list[str] = []

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise CaseReadError(f"{path.name}: '{Counter(keys).most_common(1)[0][0][:40]}' is there twice")
        return dict(pairs)

    def note_constant(name: str) -> float:
        constants.append(name)
        return float(name)

    try:
        content = json.loads(read_text(path), object_pairs_hook=no_duplicates, parse_constant=note_constant)
    except CaseReadError:  # of the above: a ValueError, too
        raise
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CaseReadError(f"{path.name}: is not valid JSON ({reason})") from error
    return content, next(iter(constants), "")


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Raises:
        CaseReadError: it is not there, too large, or no such text.

    """
    if check_file(path) > MAX_BYTES:
        raise CaseReadError(
            f"{path.name}: is larger than {MAX_BYTES >> 20} MiB; that is no file of boxes (LabelMe keeps the "
            "picture in it, too, unless saving image data is turned off)"
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaseReadError(
            f"{path.name}: is not a text file in UTF-8 ({error.reason} at byte {error.start})"
        ) from error
