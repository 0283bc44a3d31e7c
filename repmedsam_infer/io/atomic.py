"""Files that are either whole or not there: written beside their place, then renamed into it."""

import contextlib
import os
import re
import secrets
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from repmedsam_infer.errors import CaseWriteError

SUFFIX = ".part"
MOST_BYTES = 200  # of a name that is kept whole in that of its `.part`; file systems take 255
LEFTOVER = re.compile(rf"\.(.+)\.[0-9a-f]{{8}}{re.escape(SUFFIX)}", re.DOTALL)


def write_atomic(path: Path, content: bytes | memoryview, mode: int = 0o666) -> None:
    """Put `content` at `path`, with the permissions `mode` less the umask, replacing what is there in one step, also a
    link or a device; a folder is not replaced.

    A failure leaves `path` as it was and nothing beside it; a kill may leave a hidden `.part` file, never a torn
    `path` (`sweep` removes it).

    Raises:
        OSError: no space, no permission, ...

    """
    write_parts_atomic(path, lambda: (content,), mode)


def write_parts_atomic(path: Path, parts: Callable[[], Iterable[bytes | memoryview]], mode: int = 0o666) -> None:
    """`write_atomic` of what `parts()` gives, one after the other: nothing has to be in memory as a whole.

    Raises:
        OSError: as `write_atomic`; and what `parts` raises.

    """
    try:
        write_and_rename(path, parts(), mode)
    except FileNotFoundError:  # another run that began just now swept the `.part`; or the folder is gone
        write_and_rename(path, parts(), mode)


def write_and_rename(path: Path, parts: Iterable[bytes | memoryview], mode: int) -> None:
    temporary = path.with_name(f".{kept_name(path.name)}.{secrets.token_hex(4)}{SUFFIX}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def kept_name(name: str) -> str:
    """Return the name, or one as unlike others that is short enough to be part of another name."""
    encoded = os.fsencode(name)
    if len(encoded) <= MOST_BYTES:
        return name
    return f"{os.fsdecode(encoded[: MOST_BYTES // 2])}.{zlib.crc32(encoded):08x}"


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
    sweep_all([path])


def sweep_all(paths: Iterable[Path]) -> None:
    """`sweep` of each; every folder is listed once, however many are in it."""
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(kept_name(path.name))
    for folder, known in names.items():
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                found = LEFTOVER.fullmatch(entry.name)
                if found and found[1] in known:
                    with contextlib.suppress(OSError):
                        Path(entry.path).unlink()
