"""Files and folders that nobody but this user and root can have written.

What counts are the file and its folder, not the folders above: who can write there can put another folder in its place,
but none that belongs to this user. POSIX only: on Windows the user's own folders are closed to others by access lists
that Python does not state, and whoever names another folder answers for it.
"""

import errno
import os
import stat
import sys
from pathlib import Path

from repmedsam_infer.system.regular import open_regular, read_at_most

ROOT = 0
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotOwnedError(OSError):
    """Others can have written `filename`; `strerror` says who, to follow it."""


def check_owned(path: Path, about: os.stat_result) -> None:
    """Raise NotOwnedError where others than this user and root can have written `path`, whose status is `about`."""
    if sys.platform == "win32":
        return
    if about.st_uid not in (os.geteuid(), ROOT):
        raise NotOwnedError(errno.EPERM, f"belongs to user {about.st_uid}", str(path))
    if about.st_mode & OTHERS_MAY_WRITE:
        raise NotOwnedError(errno.EPERM, "can be written by other users: chmod go-w", str(path))


def check_owned_folder(folder: Path) -> None:
    """Raise NotOwnedError as above; NotADirectoryError or another OSError where there is no such folder."""
    about = folder.stat()
    if not stat.S_ISDIR(about.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "is no folder", str(folder))
    check_owned(folder, about)


def read_owned(path: Path, most: int) -> bytes:
    """Return the content of a regular file of up to `most` bytes.

    Raises:
        NotOwnedError: others can have written it.
        OSError: it cannot be read, is no regular file, or larger.

    """
    with open_regular(path, links=False) as file:
        check_owned(path, os.fstat(file.fileno()))
        return read_at_most(file, most, path)
