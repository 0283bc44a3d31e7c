"""Arrays as nnInteractive's clients send them, read without trust.

    "NNIA" | version 1 | codec | number of axes | length of the type's name | name | int64 of each axis
    uint32 number of chunks, then of each: uint64 bytes | uint64 compressed bytes | blosc2

Numbers are little-endian. What a header says is checked before memory is taken, and each chunk's own size against it.
"""

import math
import struct
from typing import Any

import blosc2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError

MAGIC, VERSION = b"NNIA", 1
ZSTD = 1  # codec of what is sent back
TYPES = frozenset(
    ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64")
)
MOST_AXES = 4
LARGEST = 2 << 30  # bytes of an array
LARGEST_CHUNK = 1 << 30  # bytes, as clients send them
HEAD, CHUNK = struct.Struct("<4sBBBB"), struct.Struct("<QQ")


def unpack(content: bytes | bytearray) -> NDArray[Any]:
    """Return the array of a request's body.

    Raises:
        CaseReadError: it is damaged, cut off, larger than may be, or not what it says.

    """
    try:
        magic, version, _, axes, length = HEAD.unpack_from(content)
        at = HEAD.size
        name = content[at : at + length].decode("ascii")
        shape = struct.unpack_from(f"<{axes}q", content, at + length)
        at += length + 8 * axes
        (chunks,) = struct.unpack_from("<I", content, at)
    except (struct.error, UnicodeDecodeError) as error:
        raise CaseReadError("the array is cut off, or none") from error
    if magic != MAGIC or version != VERSION:
        raise CaseReadError("the array is not of the kind that nnInteractive's clients send (NNIA, version 1)")
    if name not in TYPES:
        raise CaseReadError(f"the array is of type {name[:20]!r}; numbers are needed")
    if not 1 <= axes <= MOST_AXES or any(side < 1 for side in shape):
        raise CaseReadError(
            f"the array has the shape {list(shape)[:8]}; up to {MOST_AXES} axes, none empty, are needed"
        )
    size = math.prod(shape) * np.dtype(name).itemsize
    if size > LARGEST:
        raise CaseReadError(f"the array takes {size / 2**30:,.1f} GiB; the limit is {LARGEST >> 30} GiB")
    out = np.empty(shape, np.dtype(name).newbyteorder("<"))
    fill(out.reshape(-1).view(np.uint8), content, at + 4, chunks)
    return out


def fill(target: NDArray[np.uint8], content: bytes | bytearray, at: int, chunks: int) -> None:
    """Decompress so many chunks, the first one at `at`, into `target`, which they have to fill."""
    done = 0
    for _ in range(chunks):
        try:
            size, compressed = CHUNK.unpack_from(content, at)
        except struct.error as error:
            raise CaseReadError("the array is cut off") from error
        at += CHUNK.size
        chunk = bytes(content[at : at + compressed])
        at += compressed
        if len(chunk) != compressed or not 0 < size <= min(LARGEST_CHUNK, len(target) - done):
            raise CaseReadError("the array's chunks are not of the size that it says")
        try:
            if blosc2.get_cbuffer_sizes(chunk)[:2] != (size, compressed):
                raise CaseReadError("a chunk of the array is not of the size that it says")
            blosc2.decompress2(chunk, dst=target[done : done + size])
        except (ValueError, RuntimeError, TypeError) as error:
            if isinstance(error, CaseReadError):
                raise
            raise CaseReadError("a chunk of the array cannot be decompressed") from error
        done += size
    if done != len(target):
        raise CaseReadError(f"the array has {done} bytes; its header says {len(target)}")


def pack(array: NDArray[Any]) -> bytes:
    """Return an array as clients read it."""
    whole = np.ascontiguousarray(array)
    name = whole.dtype.name.encode("ascii")
    head = HEAD.pack(MAGIC, VERSION, ZSTD, whole.ndim, len(name)) + name + struct.pack(f"<{whole.ndim}q", *whole.shape)
    raw = whole.reshape(-1).view(np.uint8)
    starts = range(0, len(raw), LARGEST_CHUNK)
    parts = [head, struct.pack("<I", len(starts))]
    for start in starts:
        piece = raw[start : start + LARGEST_CHUNK]
        # The true size of an element: of an all-zero piece with another one blosc2 makes what it cannot read.
        chunk = blosc2.compress2(
            piece.data,
            typesize=whole.dtype.itemsize,
            codec=blosc2.Codec.ZSTD,
            clevel=1,
            filters=[blosc2.Filter.NOFILTER],
        )
        parts += [CHUNK.pack(len(piece), len(chunk)), chunk]
    return b"".join(parts)
