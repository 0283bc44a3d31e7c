"""Files as people have them to cases of the challenge, and its results back: what `repmedsam convert` does.

A case's slices are turned as slice_axis.py says, which depends on nothing but the original's header: with the original
at hand a result goes back to its voxels exactly.
"""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.batch.run import make_writable_folder
from repmedsam_infer.batch.warning_list import cut
from repmedsam_infer.commands.files.reading import Reading
from repmedsam_infer.errors import CaseReadError, CaseWriteError, RepMedSAMError, UsageError, printable
from repmedsam_infer.formats import check_holds, read_scan, write_labels
from repmedsam_infer.formats.boxes.source import BoxSource
from repmedsam_infer.formats.endings import OUTPUTS, ending_of, name_of
from repmedsam_infer.formats.intensity import to_grey
from repmedsam_infer.formats.label_grid import on_grid_of, present_labels, renumbered, whole_labels
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.scan_case import CaseLayout, layout_of
from repmedsam_infer.io.npz import open_npz, write_npz
from repmedsam_infer.system.streams import complain

# The challenge's words, each with others for the same: DICOM's modalities (PS3.3, C.7.3.1.1.1), and what people say.
WORDS: dict[str, tuple[str, ...]] = {
    "CT": (),
    "Dermoscopy": ("DMS", "XC"),
    "Endoscopy": ("ES",),
    "Fundus": ("OP",),
    "MR": ("MRI",),
    "Mammography": ("MG",),
    "Microscopy": ("SM", "GM", "CFM"),
    "OCT": ("OPT", "OPTENF", "IVOCT"),
    "PET": ("PT",),
    "US": ("ULTRASOUND", "IVUS", "BDUS"),
    "XRay": ("CR", "DX", "DR", "RF", "XA", "RG", "IO", "PX"),
}
MODALITIES = {other.upper(): word for word, others in WORDS.items() for other in (word, *others)}
UNKNOWN = "unknown"
LONGEST_PATH = 4_096  # characters
MOST_CHARACTERS = 32  # of a word that is none of these


@dataclass(frozen=True)
class Converted:
    """One case that was made, or why not."""

    input: str
    target: Path | None
    warnings: tuple[str, ...] = ()
    error: str = ""


def make_cases(
    inputs: Sequence[Path], folder: Path, boxes: BoxSource, reading: Reading, *, overwrite: bool = False
) -> list[Converted]:
    """Write a case for each input: imgs, boxes, for volumes spacing, and gts where boxes come from label maps.

    Raises:
        SetupError: the folder cannot be written.

    """
    make_writable_folder(folder)
    made: list[Converted] = []
    for path in inputs:
        try:
            taken = set() if overwrite else {p.name for p in folder.glob("*.npz")}
            taken |= {done.target.name for done in made if done.target}
            made.append(make_case_file(path, folder, boxes, reading, taken))
        except RepMedSAMError as error:
            made.append(Converted(path.name, None, error=str(error)))
    return made


def show_converted(made: Sequence[Converted]) -> bool:
    """Print where each case went, warnings and errors to stderr; returns whether any input failed."""
    for case in made:
        for warning in cut(case.warnings):
            complain(f"warning: {case.input}: {warning}")
        if case.error:
            complain(f"error: {case.error}")
        else:
            sys.stdout.write(f"{printable(str(case.target), LONGEST_PATH)}\n")
    return any(case.error for case in made)


def make_case_file(path: Path, folder: Path, boxes: BoxSource, reading: Reading, taken: set[str]) -> Converted:
    """Raise CaseError where it cannot be read, its name is taken, or it cannot be written."""
    scan = reading.scan(path)
    layout = layout_of(scan)
    target = folder / case_name(path, scan, layout)
    if target.name in taken:
        raise CaseWriteError(f"{path.name}: {target.name} is already in {folder}: use --overwrite, or another folder")
    named = boxes.boxes_on(path, scan)
    if layout.is_volume and named.open_ended:
        raise CaseReadError(
            f"{path.name}: box {min(named.open_ended)} is on one slice, and a case has boxes of six numbers alone; "
            "`repmedsam segment` takes it, and report.json has the box that it finds"
        )
    grey, notes = to_grey(scan, reading.window)
    arrays: dict[str, NDArray[Any]] = {"imgs": layout.images(grey), "boxes": whole(layout.boxes(named.corners))}
    spacing = layout.order.spacing(scan.spacing)
    if layout.is_volume and spacing is not None:
        arrays["spacing"] = spacing
    if boxes.labels is not None:
        arrays["gts"] = layout.images(labels_of_boxes(boxes.labels_of(path), scan))
    try:
        write_npz(target, **arrays)
    except OSError as error:
        raise CaseWriteError(f"{target.name}: could not be written to {folder} ({error.strerror})") from error
    return Converted(path.name, target, (*scan.warnings, *notes, *named.warnings))


def case_name(path: Path, scan: Scan, layout: CaseLayout) -> str:
    """As the challenge names cases: 3DBox_CT_liver.npz."""
    return f"{'3D' if layout.is_volume else '2D'}Box_{modality_word(scan.modality)}_{name_of(path)}.npz"


def modality_word(modality: str) -> str:
    """Return the challenge's word for a modality; another one as it is, but for letters, digits and hyphens alone.

    Underscores part the words of a case's name.
    """
    word = re.sub(r"[^\w-]|_", "", modality)
    return MODALITIES.get(word.replace("-", "").upper(), word[:MOST_CHARACTERS]) or UNKNOWN


def labels_of_boxes(path: Path, scan: Scan) -> NDArray[Any]:
    """Return a label map on the scan's voxels, its labels numbered as their boxes are: from 1, without gaps."""
    label_map = read_scan(path)
    labels = on_grid_of(scan, label_map, whole_labels(label_map))
    return renumbered(labels, present_labels(labels))


def whole(boxes: NDArray[np.float64]) -> NDArray[Any]:
    """As int64, as in the challenge, where nothing is lost by that."""
    rounded = np.rint(boxes)
    return rounded.astype(np.int64) if (rounded == boxes).all() else boxes


def put_back(segs_path: Path, original: Path, output: Path, reading: Reading, *, stored_order: bool = False) -> None:
    """Write the segmentation of a case as a label map of the original that the case was made of.

    stored_order: the case was not made here, its slices are in the original's own order.

    Raises:
        UsageError: the output's ending cannot be written.
        CaseError: the result is not of this original, or a file cannot be read or written.

    """
    if ending_of(output) not in OUTPUTS:
        raise UsageError(f"{output.name}: label maps are written as {', '.join(OUTPUTS)}")
    if os.path.realpath(output) in map(os.path.realpath, (original, segs_path)):
        raise UsageError(f"the label map would replace {output}, which is read; name another output")
    scan = reading.scan(original)
    check_holds(output, scan)
    with open_npz(segs_path) as npz:
        segs = npz.read("segs")
    if segs.dtype.kind not in "iu" or segs.size == 0 or segs.min() < 0 or segs.max() > np.iinfo(np.uint16).max:
        raise CaseReadError(f"{segs_path.name}: segs is not a label map of whole numbers from 0 to 65535")
    layout = layout_of(scan)
    expected = scan.shape if stored_order else layout.shape
    if segs.shape != expected:
        raise CaseReadError(
            f"{segs_path.name}: segs has shape {segs.shape}, and a case of {original.name} has {expected}: "
            "it is of another image" + ("" if stored_order else ", or not of a case that repmedsam convert made")
        )
    labels = np.ascontiguousarray(segs) if stored_order else layout.labels(segs)
    make_writable_folder(output.parent)
    write_labels(output, labels.astype(np.uint8 if labels.max() <= 255 else np.uint16), scan)
