"""OpenVINO networks compiled before: starting from them takes a third of the time of compiling.

What is compiled fits one kind of processor, one OpenVINO, one set of weights and one precision; all of these are in
its file's name, so that anywhere else it is just not found. The first run on a machine fills the user's cache folder,
`repmedsam prepare` any folder. The numbers stay in the weights, so that a network takes 0.1 to 5 MB.

Who can write a compiled network decides what runs: a folder or file that others than the user and root can have written
is not used. A cache that cannot be read or written is no error: networks are compiled instead.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from isal import isal_zlib

from repmedsam_infer.errors import printable
from repmedsam_infer.io.atomic import SUFFIX, write_atomic
from repmedsam_infer.system.cpu import this_processor
from repmedsam_infer.system.owned import NotOwnedError, check_owned_folder, read_owned

LOG = logging.getLogger("repmedsam")
VARIABLE = "REPMEDSAM_CACHE"
OFF = "off"
FORMAT = "3"  # of these files; other formats are other files
HEAD = struct.Struct("<QLL")  # bytes and CRC-32 of the numbers, CRC-32 of what follows: against damage, not people
ENDING = ".blob"
OURS = re.compile(rf"[0-9a-f]{{32}}{re.escape(ENDING)}")
LEFT_BEHIND = re.compile(rf"\.{OURS.pattern}\.[0-9a-f]{{8}}{re.escape(SUFFIX)}")
LARGEST = 64 << 20  # bytes
MOST_FILES = 24  # networks that are kept: a processor, OpenVINO and set of weights has up to 7
WARNED: set[Path] = set()
WARNING = Lock()
DAY = 24 * 3600.0  # seconds: times of use are kept to that


class Compiled(NamedTuple):
    """A compiled network that is not damaged: what OpenVINO exported, and the CRC-32 that its numbers must have.

    OpenVINO may import it before that is known, as the file of numbers has as many bytes as it should.
    """

    blob: bytes
    numbers: int


@dataclass(frozen=True)
class CompiledNetworks:
    """The folder, or None for none."""

    folder: Path | None

    def path(self, *identity: str) -> Path | None:
        """Where the network of this identity is, or would be."""
        if self.folder is None:
            return None
        machine = (FORMAT, *this_processor().identity)
        key = hashlib.sha256(json.dumps([*identity, *machine]).encode()).hexdigest()
        return self.folder / f"{key[:32]}{ENDING}"

    def read(self, numbers: Path, *identity: str) -> Compiled | None:
        """Return the compiled network, if there is an undamaged one for a file of numbers of this size."""
        path = self.path(*identity)
        if path is None:
            return None
        try:
            check_owned_folder(path.parent)
            content = read_owned(path, LARGEST)
        except NotOwnedError as error:
            warn_once(path.parent, f"compiled networks are not used: {error.filename} {error.strerror}")
            return None
        except OSError:  # most often it is not there
            return None
        if len(content) < HEAD.size:
            return None
        (size, numbers_crc, blob_crc), blob = HEAD.unpack(content[: HEAD.size]), content[HEAD.size :]
        if isal_zlib.crc32(blob) != blob_crc or size_of(numbers) != size:
            return None
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > DAY:
                os.utime(path)  # the least used are removed first
        return Compiled(blob, numbers_crc)

    def write(self, compiled: Compiled, numbers: Path, *identity: str) -> None:
        """Keep a network whose numbers are in this file, and remove what was longest not used.

        Raises:
            OSError: the folder cannot be written, or not by its owner alone.

        """
        path = self.path(*identity)
        if path is not None:
            self.make_folder()
            write_atomic(path, head(compiled, numbers) + compiled.blob, 0o644)
            remove_old(path.parent)

    def make_folder(self) -> None:
        """Make the folder if it is not there. Raise OSError as `write`."""
        if self.folder is not None:
            # Closed to other writers whatever the umask says, but not to readers: an image is run by any user.
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            check_owned_folder(self.folder)


def remove_old(folder: Path) -> None:
    """Keep MOST_FILES networks, and nothing of killed runs; another run may do the same at the same time."""
    ages = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if OURS.fullmatch(path.name):
                ages.append((path.stat().st_mtime, path))
            elif LEFT_BEHIND.fullmatch(path.name) and time.time() - path.stat().st_mtime > DAY:
                path.unlink()
    for _, path in sorted(ages, reverse=True)[MOST_FILES:]:
        with contextlib.suppress(OSError):
            path.unlink()


def head(compiled: Compiled, numbers: Path) -> bytes:
    """CRC-32s: SHA-256 would take a tenth of the whole time from start to first mask."""
    return HEAD.pack(size_of(numbers), compiled.numbers, isal_zlib.crc32(compiled.blob))


def size_of(path: Path) -> int:
    """Bytes of a file; -1 where it is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def warn_once(folder: Path, message: str) -> None:
    """Say it, but once a process for a folder: several threads load networks, for pictures and for volumes."""
    with WARNING:
        if folder not in WARNED:
            WARNED.add(folder)
            LOG.warning("warning: %s", printable(message))


def compiled_networks() -> CompiledNetworks:
    """Those of $REPMEDSAM_CACHE: a folder, `off` for none; where it is not set, of the user's cache folder."""
    named = os.environ.get(VARIABLE, "")
    if named.lower() == OFF:
        return CompiledNetworks(None)
    return CompiledNetworks(Path(named) if named else user_cache_folder())


def user_cache_folder() -> Path | None:
    """Ours in the folder that the system has for caches; None where there is no home."""
    try:
        if sys.platform == "win32":
            base, ours = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"), "repmedsam/Cache"
        elif sys.platform == "darwin":
            base, ours = Path.home() / "Library" / "Caches", "repmedsam"
        else:
            named = Path(os.environ.get("XDG_CACHE_HOME", ""))
            base, ours = named if named.is_absolute() else Path.home() / ".cache", "repmedsam"
    except RuntimeError:  # pathlib finds no home
        return None
    return base / ours if base.is_absolute() else None
