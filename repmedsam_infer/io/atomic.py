"""Files that are either whole or not there: written beside their place, then renamed into it."""

import contextlib
import glob
import os
import secrets
from pathlib import Path

from repmedsam_infer.errors import CaseWriteError

SUFFIX = ".part"


def write_atomic(path: Path, content: bytes | memoryview, mode: int = 0o666) -> None:
    """Put `content` at `path`, with the permissions `mode` less the umask, replacing what is there in one step.

    A failure leaves `path` as it was and nothing beside it; a kill may leave a hidden `.part` file, never a torn
    `path` (`sweep` removes it).

    Raises:
        OSError: no space, no permission, ...

    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{SUFFIX}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_result(path: Path, content: bytes | memoryview, what: str) -> None:
    """`write_atomic` of a case's result; `what` messages call it.

    Raises:
        CaseWriteError: the disk is full, the folder read-only, ...

    """
    try:
        write_atomic(path, content)
    except OSError as error:
        raise CaseWriteError(f"{path.name}: {what} could not be written to {path.parent} ({error.strerror})") from error


def sweep(path: Path) -> None:
    """Remove what a killed `write_atomic(path, ...)` left behind."""
    pattern = f".{glob.escape(path.name)}.????????{SUFFIX}"
    for leftover in path.parent.glob(pattern):
        with contextlib.suppress(OSError):
            leftover.unlink()
