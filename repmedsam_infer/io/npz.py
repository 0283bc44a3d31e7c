"""Arrays out of npz files from strangers, and into our own.

numpy.load trusts a file's own words: it allocates what the header declares and unpickles objects where allowed. Here
everything is checked first: a regular file and no symbolic link, an unencrypted zip, no pickled objects, declared sizes
that agree with each other and stay below a limit. Only the arrays asked for are read.
"""

import contextlib
import io
import math
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.io.atomic import write_atomic

MAX_ARRAY_BYTES = 2 << 30  # two of these (image and segmentation) fit into the challenge's 8 GB
MAX_HEADER_BYTES = 10_000  # of an npy header; numpy's own limit
MAX_MEMBERS = 1_000
# What zipfile raises where a member is not what the archive declares.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, OSError, ValueError)
PIECE = 1 << 20  # bytes inflated at a time, whatever the file declares
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of compression, that numpy writes


class NpzFile:
    """An open npz file; use `open_npz`."""

    def __init__(self, name: str, archive: zipfile.ZipFile) -> None:
        self.name = name
        self.archive = archive
        self.members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    @property
    def keys(self) -> list[str]:
        return sorted(self.members)

    def __contains__(self, key: str) -> bool:
        return key in self.members

    def read(self, key: str) -> NDArray[Any]:
        """Return the array `key`, whole and of its own dtype.

        Raises:
            CaseReadError: there is no such array, or it is damaged, pickled, too large, or not what it declares.

        """
        if key not in self.members:
            found = ", ".join(self.keys) or "nothing"
            raise CaseReadError(f"{self.name}: the array '{key}' is missing (found: {found})")
        info = self.members[key]
        if info.flag_bits & 0x1:
            raise CaseReadError(f"{self.name}: '{key}' is encrypted")
        if info.compress_type not in METHODS:
            raise CaseReadError(
                f"{self.name}: '{key}' is compressed by method {info.compress_type}, which numpy does not use"
            )
        try:
            with self.archive.open(info) as stream:
                return self._read_array(key, info, stream)
        except DAMAGE as error:
            raise CaseReadError(f"{self.name}: '{key}' is damaged ({error})") from error

    def _read_array(self, key: str, info: zipfile.ZipInfo, stream: IO[bytes]) -> NDArray[Any]:
        shape, fortran_order, dtype = self._read_header(key, stream)
        if dtype.hasobject:
            raise CaseReadError(f"{self.name}: '{key}' holds pickled Python objects, which are never loaded")
        size = math.prod(shape) * dtype.itemsize  # Python integers: no overflow
        if size > MAX_ARRAY_BYTES:
            raise CaseReadError(
                f"{self.name}: '{key}' declares shape {shape} of {dtype}, {size / 2**30:,.1f} GiB; "
                f"the limit is {MAX_ARRAY_BYTES / 2**30:.0f} GiB"
            )
        if stream.tell() + size != info.file_size:
            raise CaseReadError(
                f"{self.name}: '{key}' declares shape {shape} of {dtype}, {size:,} bytes, "
                f"but the file holds {info.file_size - stream.tell():,}"
            )
        flat = np.empty(math.prod(shape), dtype)
        target = memoryview(flat.view(np.uint8).data) if flat.size else memoryview(b"")
        filled = 0
        while filled < size:
            piece = stream.read(min(PIECE, size - filled))
            if not piece:
                raise CaseReadError(f"{self.name}: '{key}' ends after {filled:,} of {size:,} bytes")
            target[filled : filled + len(piece)] = piece
            filled += len(piece)
        stream.read(1)  # reaching the end makes it verify the checksum
        return flat.reshape(shape, order="F" if fortran_order else "C")

    def _read_header(self, key: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        try:
            version = npy.read_magic(stream)
            if version not in readers:
                raise ValueError(f"npy format {version[0]}.{version[1]} is not supported")
            shape, fortran_order, dtype = readers[version](stream, max_header_size=MAX_HEADER_BYTES)
        except (ValueError, SyntaxError, TypeError, TokenError, RecursionError) as error:  # numpy parses it as Python
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CaseReadError(f"{self.name}: '{key}' is not a numpy array ({reason})") from error
        if any(side < 0 for side in shape):
            raise CaseReadError(f"{self.name}: '{key}' declares the shape {shape}")
        return shape, fortran_order, dtype


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[NpzFile]:
    """Open the npz file at `path` for reading single arrays.

    Raises:
        CaseReadError: it is missing, unreadable, a symbolic link, no regular file, or no zip archive.

    """
    with _open_regular(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, UnicodeError) as error:
            raise CaseReadError(f"{path.name}: not an npz file, or cut off ({error})") from error
        with archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise CaseReadError(f"{path.name}: {len(archive.infolist())} arrays in one file")
            yield NpzFile(path.name, archive)


@contextlib.contextmanager
def _open_regular(path: Path) -> Iterator[IO[bytes]]:
    # O_NOFOLLOW: a symbolic link could name any file of the machine. O_NONBLOCK: a FIFO would wait for ever.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if path.is_symlink():
            raise CaseReadError(f"{path.name}: is a symbolic link; put the file itself there")
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise CaseReadError(f"{path.name}: the file is not there (any more)") from None
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CaseReadError(f"{path.name}: is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def write_npz(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays as numpy does, compressed; whole, or not at all. Raises OSError where it cannot be written."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getbuffer())
