"""The images that the page may open: those named on the command line, those in its folders, those uploaded.

Each has an id; no path comes from the page. The latest opened ones stay in memory.
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from repmedsam_infer.app.kept import Kept, file_of, read_kept, write_kept
from repmedsam_infer.app.opened_case import NetworkOf, OpenedCase
from repmedsam_infer.errors import CaseReadError, RepMedSAMError, UsageError
from repmedsam_infer.formats.endings import DICOM, METAIMAGE, NIFTI, NRRD, PICTURE, ending_of, name_of
from repmedsam_infer.interactive.drawing import Drawing
from repmedsam_infer.preprocess import Zoom

MOST_OPEN = 2  # images in memory
IMAGES = (*NIFTI, *NRRD, *METAIMAGE, *PICTURE, ".npz")
RESULTS = ("_labels", "_boxes")  # what names of our own results end with
Changed = Callable[[str], None]


@dataclass
class ListedCase:
    """One image of the list.

    uploaded: it lies in a folder of ours, and nothing is saved beside it.
    """

    id: str
    path: Path
    uploaded: bool = False
    error: str | None = None
    kept_at: str | None = None  # when it was kept last, of the clock
    saved: dict[str, Any] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)  # while it is opened or kept


class Cases:
    """All of them.

    Args:
        inputs: files and folders of the command line.
        folder: where what is drawn is kept.
        network: gives that for volumes, or that for pictures.
        zoom: of pictures.
        changed: called with a case's id when there is something new to see.

    Raises:
        UsageError: an input is not there.

    """

    def __init__(self, inputs: Sequence[Path], folder: Path, network: NetworkOf, zoom: Zoom, changed: Changed) -> None:
        self.folder, self.network, self.zoom, self.changed = folder, network, zoom, changed
        self.numbers = itertools.count(1)
        self.lock = threading.RLock()  # of the two below
        self.listed: dict[str, ListedCase] = {}
        self.open: OrderedDict[str, OpenedCase] = OrderedDict()
        for path in (one for given in inputs for one in images_in(given)):
            self.add(path)
        for path in sorted(self.uploads.glob("[!.]*/*")):
            if path.is_dir() or ending_of(path) in (*IMAGES, *DICOM):
                self.add(path, uploaded=True)

    @property
    def uploads(self) -> Path:
        """Where uploaded files lie, a folder for each image."""
        return self.folder / "uploads"

    def add(self, path: Path, *, uploaded: bool = False) -> ListedCase:
        with self.lock:
            one = ListedCase(f"c{next(self.numbers)}", path, uploaded)
            self.listed[one.id] = one
            return one

    def drop(self, one: ListedCase) -> None:
        """Take an image from the list."""
        with self.lock:
            self.listed.pop(one.id, None)

    def find(self, case_id: str) -> ListedCase:
        """Return a case of the list. Raises UsageError where there is none of this id."""
        one = self.listed.get(case_id)
        if one is None:
            raise UsageError("there is no such image")
        return one

    def described(self) -> list[dict[str, Any]]:
        """Return the list for the page; what was drawn is read from what is kept."""
        found = []
        for one in list(self.listed.values()):
            objects, saved = self.progress_of(one)
            found.append({"id": one.id, "name": one.path.name, "objects": objects, "saved": saved, "error": one.error})
        return found

    def progress_of(self, one: ListedCase) -> tuple[int, bool]:
        """Return the number of its objects, and whether they are saved as they are."""
        opened = self.open.get(one.id)
        if opened is not None:
            return len(opened.session.drawing.objects), one.saved is not None
        try:
            kept = read_kept(file_of(self.folder, one.path))
        except CaseReadError:
            return 0, False
        return (0, False) if kept is None else (len(kept.drawing.objects), kept.saved is not None)

    def get(self, case_id: str) -> OpenedCase:
        """Return a case, opened if it is not.

        Raises:
            UsageError: there is none of this id.
            CaseReadError, SetupError: it cannot be read.

        """
        one = self.find(case_id)
        with one.lock:
            with self.lock:
                if case_id in self.open:
                    self.open.move_to_end(case_id)
                    return self.open[case_id]
            try:
                opened = self.read(one)
            except RepMedSAMError as error:
                one.error = str(error)
                raise
            one.error = None
        with self.lock:
            self.open[case_id] = opened
            closed = [self.open.popitem(last=False)[1] for _ in range(len(self.open) - MOST_OPEN)]
        for other in closed:
            other.session.close()
        return opened

    def read(self, one: ListedCase) -> OpenedCase:
        kept = read_kept(file_of(self.folder, one.path))
        set_aside: list[Path] = []

        def drawing_of(digest: str) -> Drawing | None:
            if kept is None:
                return None
            if kept.digest != digest:
                set_aside.append(aside(file_of(self.folder, one.path)))
                return None
            return kept.drawing

        window = None if kept is None else kept.window
        opened = OpenedCase(one.path, self.network, self.zoom, window, drawing_of, lambda: self.changed(one.id))
        if set_aside:
            opened.warnings = (
                *opened.warnings,
                f"the image has changed since boxes were drawn on it; they are kept in {set_aside[0]}",
            )
        one.saved = dict(kept.saved) if kept is not None and kept.saved is not None and not set_aside else None
        return opened

    def keep(self, case_id: str) -> None:
        """Write what is drawn on a case to its file, at once.

        Raises:
            UsageError: the file cannot be written: what was drawn is in memory alone.

        """
        one = self.find(case_id)
        opened = self.open.get(case_id)
        if opened is None:
            return
        with one.lock:
            kept = Kept(str(one.path), opened.digest, opened.session.drawing, opened.window, one.saved)
            try:
                write_kept(file_of(self.folder, one.path), kept)
            except OSError as error:
                raise UsageError(
                    f"what was drawn could not be kept in {self.folder} ({error.strerror}): it is lost when the "
                    "program ends; save it"
                ) from error
            one.kept_at = clock()

    def close(self) -> None:
        for opened in self.open.values():
            opened.session.close()


def images_in(path: Path) -> list[Path]:
    """Return the images that a path of the command line names: a file, a DICOM series, or all images in a folder.

    Raises:
        UsageError: it is not there.

    """
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if not path.is_dir():
        return [path]
    inside = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    images = [entry for entry in inside if entry.is_file() and ending_of(entry) in IMAGES and not is_result(entry)]
    series = [entry for entry in inside if entry.is_dir() and any(ending_of(file) in DICOM for file in entry.iterdir())]
    if images or series:
        return [*images, *series]
    # Files of any names may be a DICOM series. An empty folder is no fault: images can be opened in the page.
    return [path] if any(entry.is_file() for entry in inside) else []


def is_result(path: Path) -> bool:
    return name_of(path).endswith(RESULTS)


def aside(path: Path) -> Path:
    """Rename a file of what was drawn, so that it is kept beside a new one; returns where it is."""
    there = path.with_suffix(f".{datetime.now():%Y%m%d-%H%M%S}.json")
    path.replace(there)
    return there


def clock() -> str:
    return f"{datetime.now():%H:%M:%S}"
