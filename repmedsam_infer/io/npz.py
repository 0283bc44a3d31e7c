"""Arrays out of npz files from strangers, and into our own.

numpy.load trusts a file's own words: it allocates what the header declares and unpickles objects where allowed. Here
everything is checked first: a regular file and no symbolic link, an unencrypted zip, no pickled objects, declared sizes
that agree with each other and stay below a limit. Only the arrays asked for are read.
"""

import contextlib
import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.system.memory import check_fits
from repmedsam_infer.system.regular import open_regular

MAX_ARRAY_BYTES = 2 << 30  # two of these (image and segmentation) fit into the challenge's 8 GB
MAX_HEADER_BYTES = 10_000  # of an npy header; numpy's own limit
MAX_MEMBERS = 1_000
MAX_READ = 2 << 20  # bytes taken from a file at once: what zipfile reads of an archive's directory, above all
PYTHON_2_LONG = re.compile(rb"(?<=\d)L")  # as Python 2 wrote whole numbers in headers
# What zipfile raises where a member is not what the archive declares.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, OSError, ValueError)
PIECE = 1 << 20  # bytes inflated at a time, whatever the file declares
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of compression, that numpy writes


class Declared(NamedTuple):
    """What the header of an array says."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize  # Python integers: no overflow

    def __str__(self) -> str:
        return f"shape {self.shape} of {self.dtype}"


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

    def declared(self, key: str) -> Declared:
        """Return what the array `key` declares, checked; its numbers are not read.

        Raises:
            CaseReadError: there is no such array, or its header is damaged, or says what cannot be.

        """
        with self._opened(key) as (_, declared):
            return declared

    def read(self, key: str, most: int = MAX_ARRAY_BYTES, besides: int = 0) -> NDArray[Any]:
        """Return the array `key`, whole and of its own dtype. What is done with it takes `besides` bytes of memory.

        Raises:
            CaseReadError: there is no such array, or it is damaged, pickled, too large (for memory, or more than `most`
                bytes), or not what it declares.

        """
        with self._opened(key) as (stream, declared):
            if declared.nbytes > most:
                raise CaseReadError(
                    f"{self.name}: '{key}' declares {declared}, {declared.nbytes:,} bytes; the limit is {most:,}"
                )
            check_fits(self.name, declared.nbytes + besides)
            return self._numbers(key, stream, declared)

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[tuple[IO[bytes], Declared]]:
        """Open the array `key` behind its header."""
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
                yield stream, self._header(key, info, stream)
        except CaseReadError:  # a ValueError, too
            raise
        except DAMAGE as error:
            raise CaseReadError(f"{self.name}: '{key}' is damaged ({error})") from error

    def _header(self, key: str, info: zipfile.ZipInfo, stream: IO[bytes]) -> Declared:
        declared = self._parsed_header(key, stream)
        if any(side < 0 for side in declared.shape):
            raise CaseReadError(f"{self.name}: '{key}' declares the shape {declared.shape}")
        if declared.dtype.hasobject:
            raise CaseReadError(f"{self.name}: '{key}' holds pickled Python objects, which are never loaded")
        if declared.dtype.kind not in "biuf":
            raise CaseReadError(f"{self.name}: '{key}' is of type {declared.dtype}; plain numbers are needed")
        if declared.nbytes > MAX_ARRAY_BYTES:
            raise CaseReadError(
                f"{self.name}: '{key}' declares {declared}, {declared.nbytes / 2**30:,.1f} GiB; "
                f"the limit is {MAX_ARRAY_BYTES / 2**30:.0f} GiB"
            )
        if stream.tell() + declared.nbytes != info.file_size:
            raise CaseReadError(
                f"{self.name}: '{key}' declares {declared}, {declared.nbytes:,} bytes, "
                f"but the file holds {info.file_size - stream.tell():,}"
            )
        return declared

    def _parsed_header(self, key: str, stream: IO[bytes]) -> Declared:
        readers = {(1, 0): (npy.read_array_header_1_0, "<H"), (2, 0): (npy.read_array_header_2_0, "<I")}
        try:
            version = npy.read_magic(stream)
            if version not in readers:
                raise ValueError(f"npy format {version[0]}.{version[1]} is not supported")
            parse, number = readers[version]
            length = stream.read(struct.calcsize(number))
            (size,) = struct.unpack(number, length)
            if size > MAX_HEADER_BYTES:
                raise ValueError(f"a header of {size:,} bytes")
            text = PYTHON_2_LONG.sub(b" ", stream.read(size))
            shape, fortran_order, dtype = parse(io.BytesIO(length + text), max_header_size=MAX_HEADER_BYTES)
        # numpy parses the header as Python.
        except (ValueError, SyntaxError, TypeError, IndexError, TokenError, RecursionError, struct.error) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CaseReadError(f"{self.name}: '{key}' is not a numpy array ({reason})") from error
        return Declared(shape, dtype, fortran_order)

    def _numbers(self, key: str, stream: IO[bytes], declared: Declared) -> NDArray[Any]:
        size = declared.nbytes
        flat = np.empty(math.prod(declared.shape), declared.dtype)
        target = memoryview(flat.view(np.uint8).data) if flat.size else memoryview(b"")
        filled = 0
        while filled < size:
            piece = stream.read(min(PIECE, size - filled))
            if not piece:
                raise CaseReadError(f"{self.name}: '{key}' ends after {filled:,} of {size:,} bytes")
            target[filled : filled + len(piece)] = piece
            filled += len(piece)
        stream.read(1)  # reaching the end makes it verify the checksum
        return flat.reshape(declared.shape, order="F" if declared.fortran_order else "C")


class ShortReads(io.BufferedReader):
    """A file of which nobody takes more than MAX_READ bytes at once, whatever its own directory says."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, os.fstat(self.fileno()).st_size - self.tell())
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > MAX_READ:
            raise CaseReadError("its list of arrays is too long")
        return super().read(wanted)


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[NpzFile]:
    """Open the npz file at `path` for reading single arrays.

    Raises:
        CaseReadError: it is missing, unreadable, a symbolic link, no regular file, or no zip archive.

    """
    with _open_regular(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except CaseReadError as error:  # of ShortReads
            raise CaseReadError(f"{path.name}: {error}") from error
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, UnicodeError) as error:
            raise CaseReadError(f"{path.name}: not an npz file, or cut off ({error})") from error
        with archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise CaseReadError(f"{path.name}: {len(archive.infolist())} arrays in one file")
            yield NpzFile(path.name, archive)


@contextlib.contextmanager
def _open_regular(path: Path) -> Iterator[ShortReads]:
    try:
        if path.is_symlink():  # it could name any file of the machine
            raise CaseReadError(f"{path.name}: is a symbolic link; put the file itself there")
        raw = open_regular(path, links=False)
    except FileNotFoundError:
        raise CaseReadError(f"{path.name}: the file is not there (any more)") from None
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error
    with ShortReads(raw.detach()) as file:
        yield file


def write_npz(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays as numpy does, compressed; whole, or not at all. Raises OSError where it cannot be written."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getbuffer())
