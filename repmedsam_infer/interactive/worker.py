"""The thread of a session: works out the masks that are missing, the label map, and embeddings in advance."""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.errors import RepMedSAMError
from repmedsam_infer.interactive.box_mask import Progress
from repmedsam_infer.interactive.drawing import BoxMark, Drawing
from repmedsam_infer.interactive.shared_engine import GivenUpError, Network

LOG = logging.getLogger("repmedsam")


class Masks(Protocol):
    """Of a picture, or of a volume."""

    def missing(self, drawing: Drawing) -> list[BoxMark]:
        """Return the boxes whose masks are to be worked out."""
        ...

    def at_once(self, missing: list[BoxMark]) -> list[BoxMark]:
        """Return those of them that are worked out together, next."""
        ...

    def work_out(self, marks: list[BoxMark], engine: Engine, progress: Progress, /) -> None:
        """Work out these."""
        ...

    def encode_ahead(self, z: int, engine: Engine, /) -> bool:
        """Encode something near slice z in advance; returns whether there was anything."""
        ...


class Worker:
    """Works until it is closed.

    Args:
        masks: what is known, and how to work out more.
        network: of the session.
        drawing: gives the drawing as it is.
        compose: makes the label map of what is known.
        changed: called when there is something new to see.

    """

    def __init__(
        self,
        masks: Masks,
        network: Network,
        drawing: Callable[[], Drawing],
        compose: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self.masks, self.network, self.drawing, self.compose, self.changed = masks, network, drawing, compose, changed
        self.news = threading.Condition()
        self.dirty = True  # the label map may not show the drawing
        self.shown: int | None = 0  # slice whose neighbours are to be encoded
        self.closed = False
        self.broken = False  # the label map does not show the drawing, and will not
        self.progress: dict[int, tuple[int, int]] = {}  # by mark: slices that are done, of how many
        self.failed: dict[BoxMark, str] = {}  # why there is no mask; tried again when the drawing has changed
        self.given_up: frozenset[BoxMark] = frozenset()  # boxes that nobody waits for
        self.busy: tuple[BoxMark, ...] = ()  # what is being worked out
        self.thread = threading.Thread(target=self.run, name="repmedsam-session", daemon=True)
        self.thread.start()

    def wake(self) -> None:
        """Have the drawing read again."""
        with self.news:
            self.dirty, self.failed = True, {}
            self.news.notify_all()

    def look_at(self, z: int) -> None:
        with self.news:
            self.shown = z
            self.news.notify_all()

    def give_up(self, mark: BoxMark) -> None:
        """Leave a box without a mask."""
        self.given_up |= {mark}
        self.wake()

    def why_not(self, mark: BoxMark) -> str | None:
        """Return why a box has no mask and gets none, if so."""
        return "stopped: change the box to start again" if mark in self.given_up else self.failed.get(mark)

    def wait(self, seconds: float | None) -> bool:
        with self.news:
            done = self.news.wait_for(lambda: not self.dirty or self.closed, seconds)
            return done and not self.closed and not self.broken

    def close(self) -> None:
        with self.news:
            self.closed = True
            self.news.notify_all()
        if threading.current_thread() is not self.thread:
            self.thread.join()

    def missing(self) -> list[BoxMark]:
        return [mark for mark in self.masks.missing(self.drawing()) if self.why_not(mark) is None]

    def run(self) -> None:
        while not self.closed:
            with self.news:
                dirty, shown = self.dirty, self.shown
            if dirty:
                self.next_masks()
            elif shown is None or not self.ahead(shown):
                with self.news:
                    if self.shown == shown:
                        self.shown = None
                    self.news.wait_for(lambda: self.dirty or self.shown is not None or self.closed)

    def next_masks(self) -> None:
        """Work out the next masks that are missing; with the last ones, the label map shows the drawing."""
        drawing = self.drawing()
        missing = self.missing()
        if missing:
            self.work_out(self.masks.at_once(missing))
        try:
            self.compose()
            self.broken = False
        except Exception:  # as where memory is short: the thread goes on, and nothing is taken for finished
            LOG.exception("the label map could not be made")
            self.broken = True
        with self.news:
            if self.drawing() is drawing and not self.missing():
                self.dirty = False
                self.news.notify_all()
        self.changed()

    def work_out(self, marks: list[BoxMark]) -> None:
        wanted = set(marks)

        def check() -> None:
            if self.closed or not wanted <= set(self.missing()):
                raise GivenUpError

        def progress(mark_id: int, done: int, total: int) -> None:
            self.progress = {mark_id: (done, total)}
            self.changed()

        self.busy = tuple(marks)
        try:
            self.masks.work_out(marks, self.network.shared(check=check), progress)
        except GivenUpError:
            pass
        except RepMedSAMError as error:
            self.failed |= {mark: str(error) for mark in marks}
        except Exception as error:
            LOG.exception("a mask could not be made")
            self.failed |= {mark: f"internal error: {type(error).__name__}: {error}" for mark in marks}
        finally:
            self.busy, self.progress = (), {}

    def ahead(self, shown: int) -> bool:
        """Encode one slice near the one that is shown; returns whether there was one."""

        def check() -> None:
            if self.closed or self.dirty:
                raise GivenUpError

        try:
            return self.masks.encode_ahead(shown, self.network.shared(check=check))
        except GivenUpError:
            return True
