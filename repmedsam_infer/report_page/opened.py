"""The files of one case: image, segmentation, ground truth, each where report.json or the user says it is."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.batch.report import CaseReport
from repmedsam_infer.boxes import MAX_BOXES
from repmedsam_infer.case import Case, read_case
from repmedsam_infer.drawing.extras import Extras
from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.io.case_files import modality_of
from repmedsam_infer.io.npz import open_npz
from repmedsam_infer.system.regular import may_be_path


@dataclass(frozen=True)
class Folders:
    """Where a run lies.

    cases: the images; None where they are to be read from where report.json says that they are.
    gts: None where the cases hold their ground truth themselves, if there is any.
    """

    segs: Path
    cases: Path | None = None
    gts: Path | None = None

    def check(self) -> None:
        """Raise UsageError where one of them is not there."""
        for folder in filter(None, (self.segs, self.cases, self.gts)):
            if not folder.is_dir():
                raise UsageError(f"the folder {folder} does not exist")


@dataclass(frozen=True)
class Opened:
    """One case as it is shown.

    case: image and boxes, its slices as a volume's are shown.
    segs: label map of the image's shape.
    spacing: mm along each axis of it, or None.
    modality: the word of the case's name, or of its file; empty where neither states it.
    extras: ground truth and orientation, where they are known.
    drawn: (h, w, 3) RGB of the run itself, shown where the image is not there; None where it is.
    notes: what is missing.
    """

    case: Case
    segs: NDArray[Any]
    spacing: tuple[float, ...] | None
    modality: str
    extras: Extras = field(default_factory=Extras)
    drawn: NDArray[np.uint8] | None = None
    notes: Sequence[str] = ()


def is_case(report: CaseReport) -> bool:
    """Whether it is a case in npz, as `repmedsam predict` takes them, and not an image as people have it."""
    return Path(report.input or report.case).suffix == ".npz"


def open_case(report: CaseReport, folders: Folders) -> Opened:
    """Read a case in npz.

    Raises:
        CaseReadError: one of its files cannot be read, or they do not go together.

    """
    name = report.case
    check_name(name)
    path = input_of(report, folders)
    case = read_case(path)
    segs = read_labels(inside(folders.segs, name), "segs", case.shape)
    notes: list[str] = []
    truth = usable(lambda: read_truth(folders.gts, path, name_in_folders(report), case.shape), notes)
    spacing = None if case.spacing is None else tuple(case.spacing[-len(case.shape) :].tolist())
    return Opened(case, segs, spacing, modality_of(name), Extras(truth), notes=notes)


def usable(read: Callable[[], NDArray[Any] | None], notes: list[str]) -> NDArray[Any] | None:
    """Return ground truth; None, and why in `notes`, where there is some that cannot be used."""
    try:
        return read()
    except CaseReadError as problem:
        notes.append(f"its ground truth cannot be used: {problem}")
        return None


def check_name(name: str) -> None:
    """Raise CaseReadError where a name leads out of its folder: report.json may come from anywhere."""
    if not may_be_path(name) or not Path(name).name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise CaseReadError(f"{name}: is not the name of a file")


def input_of(report: CaseReport, folders: Folders) -> Path:
    """Where the image of a case is.

    Raises:
        CaseReadError: nobody said.

    """
    if folders.cases is None:
        if not report.input or not may_be_path(report.input):
            raise CaseReadError(f"{report.case}: report.json does not say where its image is; name the folder (-i)")
        return Path(report.input)
    return inside(folders.cases, name_in_folders(report))


def name_in_folders(report: CaseReport) -> str:
    """Return where the files of a case are in folders of images or of ground truth: its name, where a manifest puts its
    result into a folder, as images of one name may be in several; else its image's.

    Raises:
        CaseReadError: that leads out of a folder.

    """
    is_in_folder = Path(report.case).name != report.case
    name = Path(report.input).name if report.input and not is_in_folder else report.case
    check_name(name)
    return name


def inside(folder: Path, name: str) -> Path:
    """Return the file of that name in a folder; raise CaseReadError where a link leads out of it."""
    if not Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder)):
        raise CaseReadError(f"{name}: is a link that leads out of {folder}")
    return folder / name


def read_truth(gts: Path | None, path: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Return the ground truth of the case at `path`: of that name in a folder, or its own; None where there is none."""
    if gts is not None:
        path = inside(gts, name)
        if not path.exists():
            return None
    with open_npz(path) as npz:
        if "gts" not in npz:
            return None
    return read_labels(path, "gts", shape)


def read_labels(path: Path, key: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a label map of the image's shape.

    Raises:
        CaseReadError: it cannot be read, or is not one.

    """
    with open_npz(path) as npz:
        labels = npz.read(key)
    if labels.shape != shape or labels.dtype.kind not in "iu":
        raise CaseReadError(f"{path.name}: {key} is {labels.dtype} {labels.shape}; integers {shape} are needed")
    if labels.min() < 0 or labels.max() > MAX_BOXES:
        raise CaseReadError(f"{path.name}: {key} has labels from {labels.min()} to {labels.max()}; 0 to {MAX_BOXES}")
    return labels
