"""Codecs written in C complain on stderr of their own accord; what they have to say is not for users."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

STDERR = 2


class _Silence:
    """stderr of the process, led nowhere from the first of several threads that ask for it to the last."""

    def __init__(self) -> None:
        self.lock, self.users, self.kept = threading.Lock(), 0, -1

    def begin(self) -> None:
        with self.lock:
            if not self.users:
                self.kept = os.dup(STDERR)
                with Path(os.devnull).open("wb") as nowhere:
                    os.dup2(nowhere.fileno(), STDERR)
            self.users += 1

    def end(self) -> None:
        with self.lock:
            self.users -= 1
            if not self.users:
                os.dup2(self.kept, STDERR)
                os.close(self.kept)


_SILENCE = _Silence()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keep from stderr what libraries write to its file descriptor; nothing is done where there is none."""
    try:
        sys.stderr.flush()
        _SILENCE.begin()
    except (OSError, ValueError, AttributeError):  # closed, or never there
        yield
        return
    try:
        yield
    finally:
        _SILENCE.end()
