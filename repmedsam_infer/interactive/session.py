"""A person works on one image: edits, undo, masks that follow, from any thread.

    edit ──> drawing ──> what is missing ── a thread of its own ──> masks ──> label map
    drag ──> preview, at once

Masks are those of `segment` for the same boxes, bit for bit (tests/test_interactive.py).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.errors import UsageError
from repmedsam_infer.interactive.box_mask import BoxMask
from repmedsam_infer.interactive.composite import Composer
from repmedsam_infer.interactive.drawing import BoxMark, Drawing, DrawnObject, check_box_in
from repmedsam_infer.interactive.history import History
from repmedsam_infer.interactive.picture_masks import PictureMasks
from repmedsam_infer.interactive.shared_engine import Network
from repmedsam_infer.interactive.volume_masks import VolumeMasks, finish_alone
from repmedsam_infer.interactive.worker import Worker
from repmedsam_infer.preprocess import Zoom
from repmedsam_infer.result import count_pixels


class StaleError(UsageError):
    """An edit was made on a drawing that somebody has changed since."""


class SupersededError(UsageError):
    """A newer preview was asked for before this one was made."""


class Session:
    """One image being worked on.

    Args:
        case: picture or volume; its boxes do not matter.
        network: for its kind.
        zoom: close views of pictures, as of `segment`.
        drawing: what was drawn before.
        changed: called, from any thread, when drawing, labels or progress have changed; it must not wait.

    """

    def __init__(
        self,
        case: Case,
        network: Network,
        zoom: Zoom = "auto",
        drawing: Drawing | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.network, self.zoom, self.changed = network, zoom, changed
        self.lock = threading.RLock()  # of drawings and labels
        self.history = History(drawing or Drawing())
        self.version = 1  # of the drawing
        self.labels_version = 0
        self.labels_of = 0  # version of the drawing that the label map shows, as far as masks were known
        self.previews = 0  # that were asked for
        self.one_preview = threading.Lock()
        self.begin(case)

    def set_case(self, case: Case) -> None:
        """Work on other grey levels of the same image: all masks are made anew."""
        self.worker.close()
        self.begin(case)
        self.changed()

    def begin(self, case: Case) -> None:
        masks = VolumeMasks(case, self.network.shared()) if case.is_volume else PictureMasks(case, self.zoom)
        with self.lock:
            self.case, self.masks = case, masks
            self.labels: Segmentation = np.zeros(case.shape, np.uint8)
            self.pixels: tuple[int, ...] = ()  # of label 0, 1, ... of it
            self.labels_version += 1
        self.worker = Worker(masks, self.network, lambda: self.drawing, self.compose, self.changed)

    @property
    def drawing(self) -> Drawing:
        with self.lock:
            return self.history.drawing

    def edit(self, change: Callable[[Drawing], Drawing], version: int | None = None) -> int:
        """Change the drawing; returns the version of it that this makes.

        Args:
            change: of the drawing as it is.
            version: of the drawing that the person saw; None for whatever it is.

        Raises:
            StaleError: the drawing has changed since that version.
            UsageError: what `change` raises, or a box that does not lie in the image.

        """
        with self.changing(version):
            before = self.history.drawing
            after = change(replace(before, next_id=self.history.next_id()))
            check_new_boxes(before, after, self.case.shape)
            if after.objects != before.objects:
                self.history.add(after)
        return self.version

    def undo(self, version: int | None = None) -> int:
        """Show the drawing before; as `edit`."""
        with self.changing(version):
            self.history.undo()
        return self.version

    def redo(self, version: int | None = None) -> int:
        """Show the drawing that was undone last; as `edit`."""
        with self.changing(version):
            self.history.redo()
        return self.version

    @contextmanager
    def changing(self, version: int | None) -> Iterator[None]:
        with self.lock:
            if version is not None and version != self.version:
                raise StaleError("the drawing was changed elsewhere in the meantime")
            before = self.history.drawing
            yield
            if self.history.drawing is before:
                return
            self.version += 1
        self.worker.wake()
        self.changed()

    def compose(self) -> None:
        """Make the label map of what is known."""
        with self.lock:
            drawing, version, case = self.history.drawing, self.version, self.case
        spacing = None if case.spacing is None else tuple(case.spacing.tolist())
        composer = Composer(case.shape, spacing, self.masks.known, self.masks.clean, self.finish)
        labels = composer.labels(drawing)
        pixels = tuple(count_pixels(labels, len(drawing.objects)).tolist())
        with self.lock:
            self.labels, self.pixels, self.labels_of = labels, pixels, version
            self.labels_version += 1

    def finish(self, segs: Segmentation, known: BoxMask, label: int) -> None:
        if self.case.is_volume:
            finish_alone(segs, known, label, self.network.engine.calibration.smallest_part)

    def preview(self, box: tuple[int, ...], z: int = 0) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
        """Mask of a box on one slice while it is dragged: rows and columns, and the mask on them.

        Raises:
            UsageError: the box or the slice does not lie in the image.
            SupersededError: a newer one was asked for.

        """
        check_box_in(box, self.case.shape)
        if self.case.is_volume and not 0 <= z < self.case.shape[0]:
            raise UsageError(f"there is no slice {z}")
        with self.lock:
            self.previews += 1
            mine = self.previews
        with self.one_preview:
            if mine != self.previews:
                raise SupersededError("a newer preview was asked for")
            known = self.masks.preview(box, z, self.network.shared(urgent=True))
        return known.where, known.mask

    def look_at(self, z: int) -> None:
        """Encode this slice and those near it in advance, when there is nothing else to do."""
        self.worker.look_at(z)

    def stop(self, object_id: int) -> None:
        """Give up what is being worked out for an object: a box that is being followed is one on its slice again; any
        other one is left without a mask until it is changed.
        """
        one = self.drawing.find(object_id)
        for mark in one.marks:
            if isinstance(mark, BoxMark) and self.masks.known(mark) is None:
                if mark.follow:
                    self.edit(partial(Drawing.set_follow, object_id=object_id, mark_id=mark.id, follow=False))
                elif self.case.is_volume:
                    self.worker.give_up(mark)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all masks are worked out and the label map shows them; returns whether they are."""
        return self.worker.wait(seconds)

    def confidence(self, one: DrawnObject) -> float | None:
        """Return the DSC that an object's mask is estimated to have; None where it is of more than one box."""
        known = None if one.single_box is None else self.masks.known(one.single_box)
        return None if known is None or np.isnan(known.confidence) else known.confidence

    def close(self) -> None:
        """End the session's thread; drawing and labels stay."""
        self.worker.close()


def check_new_boxes(before: Drawing, after: Drawing, shape: tuple[int, ...]) -> None:
    """Check boxes that were not there before. Raises UsageError where one does not lie in the image."""
    old = {mark for one in before.objects for mark in one.marks}
    for one in after.objects:
        for mark in one.marks:
            if isinstance(mark, BoxMark) and mark not in old:
                check_box_in(mark.box, shape)
