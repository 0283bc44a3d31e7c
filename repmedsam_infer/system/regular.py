"""Regular files, opened to be read: a FIFO or device in the place of one, which may have no end, is not waited for."""

import errno
import io
import os
import stat
from pathlib import Path

READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # Windows has only the last
NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def open_regular(path: Path, *, links: bool = True) -> io.BufferedReader:
    """Open a file to be read; with `links` a symbolic link leads to its file.

    Raises:
        OSError: it is not there, cannot be opened, or is a link, a folder, a FIFO or a device.

    """
    descriptor = os.open(path, READ if links else READ | NO_LINKS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return io.BufferedReader(io.FileIO(descriptor, "rb"))


def read_regular(path: Path, most: int) -> bytes:
    """Return what is in a file of at most `most` bytes.

    Raises:
        OSError: as `open_regular`, or it is larger.

    """
    with open_regular(path) as file:
        return read_at_most(file, most, path)


def read_at_most(file: io.BufferedReader, most: int, path: Path) -> bytes:
    """Return what is in an open file. Raises OSError, of `path`, where it has more than `most` bytes."""
    if os.fstat(file.fileno()).st_size > most:
        raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MiB", str(path))
    return file.read()


def is_regular(path: Path) -> bool:
    """Whether a file is there that is neither link, folder nor device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def may_be_path(text: str) -> bool:
    """Whether a system could have a file of this path: without half surrogates and zero bytes."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
