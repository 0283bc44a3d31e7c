"""The label map of an open case, written in any format of `segment`; and its boxes, as `segment --boxes` takes them."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repmedsam_infer.app.opened_case import OpenedCase
from repmedsam_infer.errors import CaseWriteError, SetupError, UsageError
from repmedsam_infer.formats import check_holds, write_labels
from repmedsam_infer.formats.endings import OUTPUTS, ending_of, name_of, own_ending
from repmedsam_infer.formats.intensity import format_window
from repmedsam_infer.interactive.drawing import BoxMark, DrawnObject
from repmedsam_infer.io.atomic import write_result

OFFERED = (".nii.gz", ".nrrd", ".mha", ".dcm", ".png", ".npz")


@dataclass(frozen=True)
class SavedAs:
    """Names beside the input."""

    labels: str
    boxes: str


def formats_of(opened: OpenedCase) -> list[str]:
    """Return the formats that can hold this case's label map."""
    found = []
    for ending in OFFERED:
        try:
            check_holds(Path(f"labels{ending}"), opened.scan)
        except (CaseWriteError, SetupError):
            continue
        if ending in (".nii.gz", ".nrrd", ".mha") and not opened.scan.is_volume:
            continue  # pictures lie nowhere
        found.append(ending)
    return found


def own_format(path: Path, possible: list[str]) -> str:
    """Return the format that suits a result beside its input."""
    wanted = own_ending(path)
    return wanted if wanted in possible else possible[0]


def names_beside(path: Path, ending: str) -> SavedAs:
    return SavedAs(f"{name_of(path)}_labels{ending}", f"{name_of(path)}_boxes.json")


def write_label_map(opened: OpenedCase, path: Path) -> None:
    """Write the label map to `path`, whole or not at all; all masks have to be worked out.

    Raises:
        UsageError: masks are still being worked out, or there is no such format.
        CaseWriteError, SetupError: as `write_labels`.

    """
    if ending_of(path) not in OUTPUTS:
        raise UsageError(f"label maps are written as {', '.join(OFFERED)}")
    if not opened.session.wait(0):
        raise UsageError("masks are still being worked out: save again when they are done")
    session = opened.session
    with session.lock:
        drawing, labels = session.drawing, session.labels
    if not drawing.objects:
        raise UsageError("there are no objects to save: draw a box first")
    write_labels(path, opened.layout.labels(labels), opened.scan, [one.name for one in drawing.objects])


def label_map_bytes(opened: OpenedCase, ending: str) -> bytes:
    """Return the label map as a file of this format; raises as `write_label_map`."""
    with tempfile.TemporaryDirectory(prefix="repmedsam-") as scratch:
        path = Path(scratch) / f"labels{ending}"
        write_label_map(opened, path)
        return path.read_bytes()


def boxes_as_json(opened: OpenedCase) -> tuple[str, str | None]:
    """Return the boxes for `segment --boxes`, and what they cannot say, if there is anything."""
    drawing = opened.session.drawing
    rows = [row_of(opened, one, mark) for one in drawing.objects if (mark := one.single_box) is not None]
    left_out = [one.name for one in drawing.objects if one.single_box is None]
    note = None
    if left_out:
        named = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
        note = f"the file of boxes holds objects of a single box; not among them: {named}"
    return json.dumps({"space": "pixel", "boxes": rows}, indent=1, ensure_ascii=False) + "\n", note


def row_of(opened: OpenedCase, one: DrawnObject, mark: BoxMark) -> dict[str, Any]:
    box = np.rint(opened.boxes_of_voxels(np.array([mark.box], np.float64))[0]).astype(int).tolist()
    row: dict[str, Any] = {"box": box, "name": one.name}
    return {**row, "follow": True} if mark.follow else row


def write_boxes(opened: OpenedCase, path: Path) -> str | None:
    """Write the boxes; returns what the file cannot say. Raises CaseWriteError."""
    content, note = boxes_as_json(opened)
    write_result(path, content.encode("utf-8", "surrogatepass"), "the file of boxes")
    return note


def command_for(opened: OpenedCase, ending: str) -> str:
    """Return the command line that gives the same label map."""
    names, path = names_beside(opened.path, ending), opened.path
    if path.suffix == ".npz":
        return f"repmedsam predict -i {path.parent} -o segs"
    window = opened.window
    choice = "" if window is None else f" --window {window if isinstance(window, str) else format_window(window)}"
    return f"repmedsam segment {path.name} --boxes {names.boxes}{choice} -o {names.labels}"
