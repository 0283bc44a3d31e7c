"""What the page shows of a session: objects, what is known of them, what is going on."""

from typing import Any

import numpy as np

from repmedsam_infer.app.cases import ListedCase
from repmedsam_infer.app.opened_case import OpenedCase
from repmedsam_infer.interactive.drawing import BoxMark, DrawnObject, Mark
from repmedsam_infer.interactive.session import Session
from repmedsam_infer.result import MM3_A_ML
from repmedsam_infer.segmentation.segment import DOUBTFUL


def state_of(one: ListedCase, opened: OpenedCase) -> dict[str, Any]:
    """Return the state of a case, as JSON holds it."""
    session = opened.session
    with session.lock:
        drawing, version = session.drawing, session.version
        labels, labels_version, labels_of = session.labels, session.labels_version, session.labels_of
        pixels = session.pixels
        can_undo, can_redo = session.history.can_undo, session.history.can_redo
    return {
        "version": version,
        "labels": {"version": labels_version, "dtype": "u1" if labels.dtype == np.uint8 else "u2", "of": labels_of},
        "can_undo": can_undo,
        "can_redo": can_redo,
        "objects": [
            described(opened, one_object, label, pixels[label] if label < len(pixels) else 0)
            for label, one_object in enumerate(drawing.objects, 1)
        ],
        "window": opened.network_window,
        "work": work_of(session),
        "saved": one.saved,
        "kept_at": one.kept_at,
    }


def described(opened: OpenedCase, one: DrawnObject, label: int, pixels: int) -> dict[str, Any]:
    session, spacing = opened.session, opened.spacing
    size = None if spacing is None else pixels * float(np.prod(list(spacing.values())))
    dsc = session.confidence(one)
    status, message, progress = status_of(session, one)
    known = None if one.single_box is None else session.masks.known(one.single_box)
    if known is not None and known.warnings:
        message = " ".join((*known.warnings, *([message] if message else [])))
    doubtful = dsc is not None and dsc < DOUBTFUL
    return {
        "id": one.id,
        "label": label,
        "name": one.name,
        "confidence": dsc,
        "doubtful": doubtful,
        "reason": f"the mask is estimated to have a DSC of {dsc:.2f} only: check it" if doubtful else None,
        "pixels": pixels,
        "area_mm2": None if opened.is_volume else size,
        "volume_ml": size / MM3_A_ML if opened.is_volume and size is not None else None,
        "status": status,
        "message": message,
        "progress": progress,
        "marks": [mark_of(session, mark) for mark in one.marks],
    }


def status_of(session: Session, one: DrawnObject) -> tuple[str, str | None, list[int] | None]:
    """Return ready, waiting, working or failed; why it failed; slices that are done, of how many (0: unknown)."""
    missing = [mark for mark in one.marks if isinstance(mark, BoxMark) and session.masks.known(mark) is None]
    if not missing:
        return "ready", None, None
    reasons = [reason for mark in missing if (reason := session.worker.why_not(mark)) is not None]
    if reasons:
        return "failed", reasons[0], None
    if any(mark in session.worker.busy for mark in missing):
        progress = (session.worker.progress.get(mark.id) for mark in missing)
        return "working", None, next((list(one) for one in progress if one is not None), None)
    return "waiting", None, None


def mark_of(session: Session, mark: Mark) -> dict[str, Any]:
    if not isinstance(mark, BoxMark):
        return {"id": mark.id, "kind": "stroke", "sign": mark.sign, "axis": mark.axis, "index": mark.index}
    known = session.masks.known(mark) if mark.follow else None
    found = None if known is None else [round(value) for value in known.corners]
    return {
        "id": mark.id,
        "kind": "box",
        "sign": mark.sign,
        "box": list(mark.box),
        "follow": mark.follow,
        "found": found,
    }


def work_of(session: Session) -> dict[str, Any] | None:
    """Return what the session is doing, if a person waits for it."""
    progress = next(iter(session.worker.progress.values()), None)
    if not session.worker.busy:
        return None
    done, total = progress if progress is not None else (0, 0)
    return {"text": "segmenting", "done": done, "total": total}


def changes_of(opened: OpenedCase) -> dict[str, Any]:
    """Return what the page needs to know to tell that there is something new."""
    session = opened.session
    by_mark = {mark.id: one.id for one in session.drawing.objects for mark in one.marks}
    progress = {str(by_mark[mark]): list(done) for mark, done in session.worker.progress.items() if mark in by_mark}
    return {
        "version": session.version,
        "labels": session.labels_version,
        "work": work_of(session),
        "progress": progress,
    }
