"""Bytes out of gzip, zlib and bzip2, piece by piece: whoever takes them stops where enough are read."""

import bz2
from collections.abc import Callable, Iterator
from typing import IO, Protocol, cast

from isal import igzip_lib

PIECE = 1 << 20  # bytes that come out at a time
PACKED_PIECE = 1 << 18  # that are read at a time, at least as many as a mark has
MOST_PARTS = 100_000  # that follow each other: 2 GiB in the usual parts of 64 KiB are a third of it
GZIP, BZIP2 = b"\x1f\x8b", b"BZh"  # what each part of such data begins with
ZLIB_METHOD, ZLIB_CHECK = 8, 31  # in the two bytes that zlib begins with (RFC 1950)
ISAL_ERROR = cast(
    "type[Exception]", igzip_lib.IsalError
)  # of which isal's own types say that it is an error, not a class


class Unpacker(Protocol):
    """What `bz2` and `isal` have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class PackedError(Exception):
    """The data are not what they should be; the text says how."""


def unpacked(stream: IO[bytes], kind: str) -> Iterator[bytes]:
    """Yield pieces of at most PIECE bytes, up to the end; checksums are compared there.

    Args:
        stream: at the first packed byte.
        kind: "gzip" or "bzip2", of which several may follow each other, or "zlib", which may be gzip, too.

    Raises:
        PackedError: they are of another kind, damaged or cut off.

    """
    packed = stream.read(PACKED_PIECE)
    new = unpacker_of(packed, kind)
    for _ in range(MOST_PARTS):
        unpacker = new()
        try:
            yield from one_member(unpacker, stream, packed)
        except (ISAL_ERROR, OSError, EOFError) as error:
            raise PackedError(f"its {kind} data: {error}") from error
        packed = unpacker.unused_data
        if len(packed) < PACKED_PIECE:
            packed += stream.read(PACKED_PIECE - len(packed))
        begins = {"gzip": GZIP, "bzip2": BZIP2}.get(kind)
        if begins is None or not packed.startswith(begins):  # what follows is not read
            return
    raise PackedError(f"its {kind} data: they are in more than {MOST_PARTS:,} parts")


def one_member(unpacker: Unpacker, stream: IO[bytes], packed: bytes) -> Iterator[bytes]:
    while not unpacker.eof:
        if unpacker.needs_input and not packed:
            packed = stream.read(PACKED_PIECE)
            if not packed:
                raise EOFError("they end early")
        piece = unpacker.decompress(packed, PIECE)
        packed = b""
        if piece:
            yield piece


def unpacker_of(start: bytes, kind: str) -> Callable[[], Unpacker]:
    """Return what unpacks data that start like this.

    Raises:
        PackedError: they are of another kind.

    """
    if kind == "bzip2" and start.startswith(BZIP2):
        return bz2.BZ2Decompressor
    if kind in ("gzip", "zlib") and start.startswith(GZIP):
        return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    is_zlib = len(start) > 1 and start[0] % 16 == ZLIB_METHOD and int.from_bytes(start[:2], "big") % ZLIB_CHECK == 0
    if kind == "zlib" and is_zlib:
        return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB)
    raise PackedError(f"its header says that its voxels are packed by {kind}, and they are not")
