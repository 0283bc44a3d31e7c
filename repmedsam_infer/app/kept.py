"""What was drawn, kept in a small file for each image, so that nothing is lost when a process ends.

The file holds boxes, strokes and names, no pixels. It is written whole at every change.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.intensity import Window
from repmedsam_infer.interactive.drawing import BoxMark, Drawing, DrawnObject, Mark, StrokeMark
from repmedsam_infer.io.atomic import write_atomic

FORMAT = 1
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Kept:
    """What is kept of an image.

    image: its path. digest: of its values.
    window: of the network's grey levels; None for what suits the image.
    saved: {"at", "name", "version"} of the label map that was saved last, or None.
    """

    image: str
    digest: str
    drawing: Drawing
    window: Window | str | None = None
    saved: Mapping[str, Any] | None = None


def file_of(folder: Path, image: Path) -> Path:
    """Return where what is drawn on an image is kept: named by the image, and by where that lies."""
    place = str(image.resolve())
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in image.name)[:60]
    return folder / f"{stem}-{hashlib.sha256(place.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}.json"


def write_kept(path: Path, kept: Kept) -> None:
    """Write it, whole or not at all. Raises OSError."""
    content = {
        "format": FORMAT,
        "image": kept.image,
        "digest": kept.digest,
        "window": kept.window,
        "saved": None if kept.saved is None else dict(kept.saved),
        "next_id": kept.drawing.next_id,
        "objects": [
            {"id": one.id, "name": one.name, "marks": [mark_as_json(mark) for mark in one.marks]}
            for one in kept.drawing.objects
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(content, ensure_ascii=True).encode())


def read_kept(path: Path) -> Kept | None:
    """Return what is kept in a file; None where there is none.

    Raises:
        CaseReadError: it is damaged, or of a newer version of this program.

    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CaseReadError(f"{path}: is too large to be a file of what was drawn")
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise CaseReadError(f"{path}: was written by another version of this program")
        objects = tuple(
            DrawnObject(int(one["id"]), str(one["name"]), tuple(mark_of_json(mark) for mark in one["marks"]))
            for one in content["objects"]
        )
        window = content["window"]
        return Kept(
            str(content["image"]),
            str(content["digest"]),
            Drawing(objects, int(content["next_id"])),
            (float(window[0]), float(window[1])) if isinstance(window, list) else window,
            content["saved"],
        )
    except FileNotFoundError:
        return None
    except CaseReadError:
        raise
    except (OSError, ValueError, KeyError, TypeError, UsageError) as error:
        raise CaseReadError(f"{path}: what was drawn cannot be read ({error})") from error


def mark_as_json(mark: Mark) -> dict[str, Any]:
    if isinstance(mark, BoxMark):
        return {"id": mark.id, "sign": mark.sign, "box": list(mark.box), "follow": mark.follow}
    return {
        "id": mark.id,
        "sign": mark.sign,
        "axis": mark.axis,
        "index": mark.index,
        "points": [list(point) for point in mark.points],
        "radius": mark.radius,
    }


def mark_of_json(mark: Mapping[str, Any]) -> Mark:
    sign = mark["sign"]
    if sign not in ("+", "-"):
        raise ValueError(f"the sign of a mark is {sign!r}")
    if "box" in mark:
        return BoxMark(int(mark["id"]), sign, tuple(int(value) for value in mark["box"]), bool(mark["follow"]))
    if mark["axis"] not in ("x", "y", "z"):
        raise ValueError(f"the axis of a stroke is {mark['axis']!r}")
    points = tuple((float(across), float(down)) for across, down in mark["points"])
    return StrokeMark(int(mark["id"]), sign, mark["axis"], int(mark["index"]), points, float(mark["radius"]))
