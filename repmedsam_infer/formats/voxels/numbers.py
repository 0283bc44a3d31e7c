"""Numbers out of a file: raw, packed, as hexadecimal digits or as text. No more is read than a header promises."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.voxels.packed import PackedError, unpacked
from repmedsam_infer.io.npz import MAX_ARRAY_BYTES

RAW, GZIP, ZLIB, BZIP2, HEX, TEXT = "raw", "gzip", "zlib", "bzip2", "hex", "text"
PACKED = (GZIP, ZLIB, BZIP2)
WHITESPACE = b" \t\n\v\f\r"
TEXT_PIECE = 1 << 18  # bytes of digits that are read at a time
LONGEST_NUMBER = 1_000  # characters of one in text


@dataclass(frozen=True)
class Encoding:
    """How numbers stand in a file.

    kind: RAW, GZIP, ZLIB, BZIP2, HEX or TEXT.
    dtype: of a number, in the file's byte order; of TEXT in any.
    total: how many there are.
    skip: bytes before them: in the file, of packed ones among what is unpacked.
    behind: bytes after them, where they are found from the end, of RAW or packed ones; else None.
    """

    kind: str
    dtype: np.dtype[Any]
    total: int
    skip: int = 0
    behind: int | None = None

    @property
    def size(self) -> int:
        """Bytes of all numbers."""
        return self.total * self.dtype.itemsize


def read_numbers(name: str, stream: io.BufferedReader, encoding: Encoding, first: int, count: int) -> NDArray[Any]:
    """(count,) numbers from the `first` on, in the file's byte order.

    Args:
        name: what messages call the file.
        stream: at the numbers, or at what is skipped before them.
        encoding: of the file.
        first, count: numbers, not bytes.

    Raises:
        CaseReadError: there are fewer than promised, or they are damaged.

    """
    try:
        if encoding.kind == RAW:
            return raw_numbers(name, stream, encoding, first, count)
        skip = bytes_before(name, stream, encoding) + first * encoding.dtype.itemsize
        pieces = pieces_of(stream, encoding)
        numbers = np.empty(count, encoding.dtype)
        is_end = fill(name, numbers.view(np.uint8), pieces, skip)
        if is_end and encoding.kind in PACKED:
            next(pieces, None)  # what is at the end is compared with its checksum
    except PackedError as error:
        raise CaseReadError(f"{name}: cannot be read ({error}): it is damaged or cut off; copy it again") from error
    except OSError as error:
        raise CaseReadError(f"{name}: cannot be read ({error.strerror or error})") from error
    return numbers


def raw_numbers(name: str, stream: io.BufferedReader, encoding: Encoding, first: int, count: int) -> NDArray[Any]:
    begin, end = stream.tell(), stream.seek(0, os.SEEK_END)
    start = begin + encoding.skip if encoding.behind is None else end - encoding.behind - encoding.size
    if start < begin or start + encoding.size > end:
        raise cut_off(name, min(encoding.size, max(0, end - max(start, begin))), encoding.size)
    stream.seek(start + first * encoding.dtype.itemsize)
    numbers = np.empty(count, encoding.dtype)
    content, filled = numbers.view(np.uint8).data, 0
    while filled < len(content):
        read = stream.readinto(content[filled:])
        if not read:
            raise cut_off(name, filled, encoding.size)
        filled += read
    return numbers


def fill(name: str, content: NDArray[np.uint8], pieces: Iterator[bytes], skip: int) -> bool:
    """Fill (N,) bytes with what is in pieces after `skip` bytes; the system gives memory only to what is written there.

    Returns whether the last piece was used up.

    Raises:
        CaseReadError: they end before.

    """
    filled = -skip
    piece = b""
    while filled < len(content):
        piece = next(pieces, b"")
        if not piece:
            raise cut_off(name, max(0, filled), len(content))
        start, end = max(filled, 0), min(filled + len(piece), len(content))
        if end > start:
            content[start:end] = np.frombuffer(piece, np.uint8, end - start, start - filled)
        filled += len(piece)
    return filled == len(content)


def bytes_before(name: str, stream: io.BufferedReader, encoding: Encoding) -> int:
    """Return how many bytes come before the numbers, of those that `pieces_of` yields from where the stream is then.

    Raises:
        CaseReadError: counted from the end, there is not enough.

    """
    if encoding.kind not in PACKED:
        stream.seek(encoding.skip, os.SEEK_CUR)
        return 0
    if encoding.behind is None:
        return encoding.skip
    begin, size = stream.tell(), 0
    for piece in pieces_of(stream, encoding):
        size += len(piece)
        if size > 2 * MAX_ARRAY_BYTES:
            raise CaseReadError(f"{name}: unpacks to more than {2 * MAX_ARRAY_BYTES >> 30} GiB: it is damaged")
    stream.seek(begin)
    before = size - encoding.behind - encoding.size
    if before < 0:
        raise cut_off(name, max(0, size - encoding.behind), encoding.size)
    return before


def cut_off(name: str, found: int, size: int) -> CaseReadError:
    return CaseReadError(f"{name}: ends after {found:,} of {size:,} bytes of its voxels: it is cut off; copy it again")


def pieces_of(stream: io.BufferedReader, encoding: Encoding) -> Iterator[bytes]:
    """Yield the bytes of all numbers, and of what is before and after them.

    Raises:
        PackedError: they are damaged.

    """
    if encoding.kind in PACKED:
        return unpacked(stream, encoding.kind)
    if encoding.kind == HEX:
        return hex_pieces(stream, encoding.size)
    return text_pieces(stream, encoding.dtype, encoding.total)


def hex_pieces(stream: io.BufferedReader, size: int) -> Iterator[bytes]:
    """Yield `size` bytes of pairs of digits, with white space anywhere; what follows is not read."""
    left, odd = 2 * size, b""
    while left > 0 and (read := stream.read(TEXT_PIECE)):
        digits = read.translate(None, WHITESPACE)[:left]
        left -= len(digits)
        digits = odd + digits
        odd = digits[len(digits) - len(digits) % 2 :]
        try:
            piece = bytes.fromhex(digits[: len(digits) - len(odd)].decode("ascii"))
        except ValueError as error:
            raise PackedError("it has other characters among its hexadecimal digits") from error
        if piece:
            yield piece


def text_pieces(stream: io.BufferedReader, dtype: np.dtype[Any], total: int) -> Iterator[bytes]:
    """Yield `total` numbers of text, between white space or commas, as bytes of that type; what follows is not read."""
    left, cut = total, b""
    while left > 0:
        read = stream.read(TEXT_PIECE)
        words = (cut + read).replace(b",", b" ").split()
        is_cut = bool(read) and not read[-1:].isspace() and read[-1:] != b","
        cut = words.pop() if is_cut and words else b""
        if len(cut) > LONGEST_NUMBER:
            raise PackedError(f"a number of its text has more than {LONGEST_NUMBER:,} characters")
        if words:
            yield numbers_of(words[:left], dtype).tobytes()
            left -= len(words)
        if not read:
            return


def numbers_of(words: list[bytes], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return numbers of a type; fractions of whole ones are cut off."""
    if any(b"_" in word for word in words):  # which Python takes
        raise PackedError("its text has other words than numbers")
    try:
        values = np.fromiter(map(float, words), np.float64, len(words))
    except ValueError as error:
        raise PackedError("its text has other words than numbers") from error
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not ((values >= limits.min) & (values <= limits.max)).all():  # NaN is not, either
            raise PackedError(f"its text has numbers that are none of {limits.min} to {limits.max}")
    with np.errstate(over="ignore", invalid="ignore"):  # a float too large is infinite
        return values.astype(dtype)
