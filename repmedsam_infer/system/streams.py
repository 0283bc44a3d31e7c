"""Standard streams that nobody reads: a closed pipe, a full disk, a closed descriptor. No run ends for that."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from repmedsam_infer.errors import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STANDARD = range(3)  # descriptors: input, output, errors


class Tolerant(io.FileIO):
    """An open descriptor that takes everything; what cannot be written is lost."""

    def write(self, content: "ReadableBuffer", /) -> int:
        size = memoryview(content).nbytes
        try:
            written: int | None = super().write(content)
        except OSError:
            return size
        return size if written is None else written


def open_standard_streams() -> None:
    """Open the null device for those that are closed: else the next file that is opened, a result say, would get the
    number of one, and what libraries print would land in it.
    """
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    if sys.stdout is None:
        sys.stdout = tolerant(None, 1)
    if sys.stderr is None:
        sys.stderr = tolerant(None, 2)


@contextlib.contextmanager
def tolerant_streams() -> Iterator[None]:
    """Within the block printing raises no error, whatever became of the streams and whatever characters are printed."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = tolerant(sys.stdout, 1), tolerant(sys.stderr, 2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def tolerant(stream: TextIO | None, number: int) -> TextIO:
    """Return one that writes where `stream` does, or to the descriptor `number` where Python found it closed; `stream`
    itself where it is no file (notebooks), or a Windows console, whose characters are not those of a file.
    """
    encoding = "utf-8"
    if stream is not None:
        try:
            number, encoding = stream.fileno(), stream.encoding
        except (OSError, ValueError):
            return stream
        if os.name == "nt" and stream.isatty():
            return stream
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    raw = Tolerant(number, "wb", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


def flushed() -> bool:
    """Flush both streams, and return whether that was possible.

    Where it was not, what is left is dropped, and with it the interpreter's complaint at its end.
    """
    whole = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            whole = False
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return whole


def complain(message: str) -> None:
    """Write a line to standard errors, printable whatever is in it, if they can be written."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{printable(message)}\n")
            sys.stderr.flush()
