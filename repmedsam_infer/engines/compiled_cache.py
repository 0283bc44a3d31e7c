"""OpenVINO networks compiled beforehand: starting from them takes a third of the time of compiling.

What is compiled fits one kind of processor, one OpenVINO, one set of weights and one precision; all of these are in
its file's name, so that anywhere else it is just not found. A folder is filled by `repmedsam prepare` alone (the image
is built with one); segmenting only ever reads it. Who can write to it could as well replace the program.
"""

import hashlib
import json
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isal import isal_zlib

from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.system.cpu import processor_identity

VARIABLE = "REPMEDSAM_CACHE"
CHECKSUM = struct.Struct("<L")  # of what follows, at the beginning of a file: against damage, not against people


@dataclass(frozen=True)
class CompiledNetworks:
    """The folder, or None for none."""

    folder: Path | None

    def path(self, *identity: str) -> Path | None:
        """Where the network of this identity is, or would be."""
        if self.folder is None:
            return None
        key = hashlib.sha256(json.dumps([*identity, *processor_identity()]).encode()).hexdigest()
        return self.folder / f"{key[:32]}.blob"

    def read(self, *identity: str) -> memoryview | None:
        """Return the compiled network, if there is an undamaged one."""
        path = self.path(*identity)
        try:
            content = mapped(path) if path is not None else None
        except (OSError, ValueError):  # not there, or empty
            return None
        if content is None or content[: CHECKSUM.size] != checksum(content[CHECKSUM.size :]):
            return None
        return content[CHECKSUM.size :]

    def write(self, compiled: Any, *identity: str) -> None:
        """Keep an openvino.CompiledModel. Raises OSError where the folder cannot be written."""
        path = self.path(*identity)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            blob = compiled.export_model().getvalue()
            write_atomic(path, checksum(blob) + blob)


def checksum(blob: bytes | memoryview) -> bytes:
    """CRC-32: SHA-256 would take a tenth of the whole time from start to first mask."""
    return CHECKSUM.pack(isal_zlib.crc32(blob))


def mapped(path: Path) -> memoryview:
    """Return the file's content, in memory that the system can take back."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def compiled_networks() -> CompiledNetworks:
    """Those of $REPMEDSAM_CACHE."""
    folder = os.environ.get(VARIABLE)
    return CompiledNetworks(Path(folder) if folder else None)
