"""What a command has no business with: files outside its outputs, other programs, the network, pickles."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
FORBIDDEN = {
    "socket.connect",
    "socket.bind",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "pickle.find_class",
}
RELATIVE = {"os.remove", "os.rmdir"}  # in a folder that is being removed, by its descriptor: that one counts
HARMLESS = {os.devnull}

_watching: list[tuple[list[Path], list[str]]] = []  # what may be written, and what was done
_hooked: list[bool] = []  # hooks cannot be removed: one is there for good


@contextmanager
def watch(writable: Sequence[Path]) -> Iterator[list[str]]:
    """Collect what is done to files elsewhere than at or under `writable`, and what is never to be done."""
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    events: list[str] = []
    _watching.append(([path.resolve() for path in writable], events))
    try:
        yield events
    finally:
        _watching.clear()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    writable, events = _watching[-1]
    if event in FORBIDDEN and arguments[:1] != ("uname",):
        events.append(f"{event} {str(arguments[:2])[:200]}")
    elif event == "open" and isinstance(arguments[0], str | bytes) and isinstance(arguments[2], int):
        if arguments[2] & WRITING and not _is_in(arguments[0], writable):
            events.append(f"opened for writing: {os.fsdecode(arguments[0])!r}")
    elif event in CHANGES and not (event in RELATIVE and arguments[-1] != -1):
        paths = [path for path in arguments[:2] if isinstance(path, str | bytes | os.PathLike)]
        if event != "os.mkdir" or not _is_above(paths[0], writable):  # folders to put outputs into
            events.extend(f"{event}: {os.fsdecode(path)!r}" for path in paths if not _is_in(path, writable))


def _is_in(path: Any, writable: Sequence[Path]) -> bool:
    try:
        full = Path(os.fsdecode(path)).resolve()
    except (ValueError, RuntimeError):  # it is no path, and nothing comes of it
        return True
    return str(full) in HARMLESS or any(full.is_relative_to(place) for place in writable)


def _is_above(path: Any, writable: Sequence[Path]) -> bool:
    full = Path(os.fsdecode(path)).resolve()
    return any(place.is_relative_to(full) for place in writable)
