"""What asks a process to end: SIGINT (Ctrl-C), SIGTERM (`docker stop`, Slurm, systemd), SIGHUP (a closed terminal).

By default the first one raises `Stopped` in the main thread, wherever it is. Within `between_stages` it is only noted,
and `check` raises it where nothing is half done; a second one changes nothing then. Light: it is there before imports.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last one is not known to Windows
MESSAGE = b"stopping: the case at hand is dropped; what was done is kept and reported\n"


class Stopped(BaseException):
    """A signal came. No `Exception`: nothing on its way takes it for the failure of a case."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Stopping:
    """Which signal came first, and whether it waits for `check`. A process has one: `STOPPING`."""

    def __init__(self) -> None:
        self.number = 0
        self.waits = False

    @property
    def name(self) -> str:
        """SIGTERM, say; empty where none came."""
        return signal.Signals(self.number).name if self.number else ""

    def handle(self, number: int, _: FrameType | None) -> None:
        first = not self.number
        self.number = self.number or number
        if first and not self.waits:
            raise Stopped(number)
        if first:
            with contextlib.suppress(OSError):
                os.write(2, MESSAGE)  # print must not be called here: it may be interrupted itself

    def check(self) -> None:
        """Raise Stopped if a signal came."""
        if self.number:
            raise Stopped(self.number)

    @contextlib.contextmanager
    def between_stages(self) -> Iterator[None]:
        """Within the block signals wait for `check`. Raises Stopped at once where one came before."""
        self.check()
        self.waits = True
        try:
            yield
        finally:
            self.waits = False


STOPPING = Stopping()


def listen() -> Callable[[], None]:
    """Handle the signals from now on, but for those that are ignored (`nohup`); returns what ends that.

    In another thread than the main one nothing is handled: Python has it so.
    """
    STOPPING.number, STOPPING.waits = 0, False
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: signal.signal(n, STOPPING.handle) for n in known() if signal.getsignal(n) is not signal.SIG_IGN}

    def end() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    return end


def ignore() -> None:
    """Ignore the signals: the process ends, and none is to kill it in the midst of that."""
    if threading.current_thread() is threading.main_thread():
        for number in known():
            signal.signal(number, signal.SIG_IGN)


def known() -> list[signal.Signals]:
    return [signal.Signals[name] for name in NAMES if name in signal.Signals.__members__]
