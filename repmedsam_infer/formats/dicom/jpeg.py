"""What is wrong with the segments of a JPEG codestream, by the rules of ISO/IEC 10918-1, before a codec reads them.

GDCM ends the whole process on many of these faults, and with it the cases that were still to be done.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

START, END = 0xD8, 0xD9  # of an image
JFIF, ADOBE = 0xE0, 0xEE  # segments of applications
SCAN, HUFFMAN, QUANTISATION, RESTARTS = 0xDA, 0xC4, 0xDB, 0xDD
BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
FRAMES = {BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS}  # that GDCM reads
OTHER_FRAMES = {*range(0xC5, 0xD0)} - {0xC8, 0xCC}
BARE = {0x00, 0x01, *range(0xD0, 0xD8)}  # without a length; 0 is none at all
NO_MARKER = -1
MOST_BITS = 16
TABLES = 4  # of each kind
COEFFICIENTS = 64
LENGTHS = 16  # of Huffman codes
MOST_BLOCKS = 10  # of all components in one unit of a scan


class JpegError(ValueError):
    """A fault; its text says what."""


@dataclass
class _Read:
    """What has been read so far.

    components: of each one's identifier, its sampling factors and its table of quantisation.
    huffman: of each class (0 for DC, 1 for AC) and number, how many codes there are of each length, and their symbols.
    """

    kind: int = 0
    bits: int = 0
    components: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    quantisation: set[int] = field(default_factory=set)
    huffman: dict[tuple[int, int], tuple[bytes, bytes]] = field(default_factory=dict)
    scans: int = 0


def check_jpeg(frame: bytes, samples: int) -> None:
    """Check the segments of a JPEG codestream of so many samples a pixel.

    Raises:
        JpegError: one of them makes no sense, or one is missing.

    """
    read = _Read()
    for marker, content in _segments(frame):
        try:
            _read_segment(read, marker, content)
        except (IndexError, struct.error) as error:
            raise JpegError("a segment that is too short") from error
    if not read.scans:
        raise JpegError("no pixels")
    if len(read.components) != samples:
        raise JpegError(f"{len(read.components)} samples a pixel, not {samples}")


def _segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of each segment up to the image's end; pixels, after a scan's, are skipped."""
    offset, is_pixels = 2, False
    while True:
        marker = frame[offset + 1] if frame.startswith(b"\xff", offset) and offset + 1 < len(frame) else NO_MARKER
        if marker == END:
            return
        if marker == 0xFF:  # a filling byte
            offset += 1
        elif marker in (*BARE, NO_MARKER):
            if not is_pixels:
                raise JpegError("bytes between its segments")
            offset = frame.find(b"\xff", offset + 1)
            if offset < 0:
                return
        else:
            length = int.from_bytes(frame[offset + 2 : offset + 4], "big")
            content = frame[offset + 4 : offset + 2 + length]
            if length < 2 or len(content) != length - 2:
                raise JpegError("a segment that is cut off")
            yield marker, content
            is_pixels = is_pixels or marker == SCAN
            offset += 2 + length


def _read_segment(read: _Read, marker: int, content: bytes) -> None:
    if marker in FRAMES:
        _read_frame(read, marker, content)
    elif marker == HUFFMAN:
        _read_huffman(read, content)
    elif marker == QUANTISATION:
        _read_quantisation(read, content)
    elif marker == SCAN:
        _check_scan(read, content)
    elif marker in OTHER_FRAMES or marker == START:
        raise JpegError(f"an unknown kind of frame ({marker:02X})")
    elif marker in (JFIF, ADOBE):
        _check_application(marker, content)
    elif marker == RESTARTS and len(content) != 2:
        raise JpegError("a segment of a wrong length")


def _check_application(marker: int, content: bytes) -> None:
    """Check the version of JFIF and Adobe's number of a colour transform: GDCM takes a warning for an error."""
    if marker == JFIF and content.startswith(b"JFIF\0") and len(content) > 11 and content[5] != 1:
        raise JpegError(f"version {content[5]} of JFIF")
    if marker == ADOBE and content.startswith(b"Adobe") and len(content) > 11 and content[11] > 1:
        raise JpegError(f"an unknown transform of colours ({content[11]})")


def _read_frame(read: _Read, marker: int, content: bytes) -> None:
    bits, height, width, count = struct.unpack_from(">BHHB", content)
    if read.kind:
        raise JpegError("two headers of a frame")
    if not 1 < bits <= MOST_BITS or not height or not width or len(content) != 6 + 3 * count:
        raise JpegError(f"a frame of {width} x {height} pixels, {count} samples of {bits} bits")
    read.kind, read.bits = marker, bits
    for i in range(count):
        identifier, sampling, table = content[6 + 3 * i : 9 + 3 * i]
        across, down = sampling >> 4, sampling & 15
        if not (1 <= across <= 4 and 1 <= down <= 4) or table >= TABLES:
            raise JpegError("a sample of impossible size")
        read.components[identifier] = (across, down, table)


def _read_huffman(read: _Read, content: bytes) -> None:
    offset = 0
    while offset < len(content):
        number, counts = content[offset], content[offset + 1 : offset + 1 + LENGTHS]
        symbols = content[offset + 1 + LENGTHS :][: sum(counts)]
        if number & ~0x10 >= TABLES or len(counts) < LENGTHS or len(symbols) < sum(counts) or sum(counts) > 256:
            raise JpegError("a damaged Huffman table")
        read.huffman[number >> 4, number & 15] = (counts, symbols)
        offset += 1 + LENGTHS + len(symbols)


def _read_quantisation(read: _Read, content: bytes) -> None:
    offset = 0
    while offset < len(content):
        wide, number = content[offset] >> 4, content[offset] & 15
        if number >= TABLES:
            raise JpegError("a damaged table of quantisation")
        read.quantisation.add(number)
        offset += 1 + COEFFICIENTS * (2 if wide else 1)
    if offset != len(content):
        raise JpegError("a damaged table of quantisation")


def _check_scan(read: _Read, content: bytes) -> None:
    """Check that a scan's components are there, with all tables that decoding them takes."""
    count = content[0]
    first, last, bits = content[-3:]
    if not 1 <= count <= TABLES or len(content) != 4 + 2 * count:
        raise JpegError("a damaged header of pixels")
    named = [(content[1 + 2 * i], content[2 + 2 * i] >> 4, content[2 + 2 * i] & 15) for i in range(count)]
    if any(identifier not in read.components for identifier, _, _ in named):
        raise JpegError("pixels of an unknown sample")
    blocks = sum(read.components[identifier][0] * read.components[identifier][1] for identifier, _, _ in named)
    if count > 1 and blocks > MOST_BLOCKS:
        raise JpegError("a sample of impossible size")
    if read.kind == LOSSLESS and not (1 <= first <= 7 and last == 0 and bits < read.bits):
        raise JpegError("a damaged header of pixels")
    for identifier, direct, alternating in named:
        if read.kind != LOSSLESS and read.components[identifier][2] not in read.quantisation:
            raise JpegError("a missing table of quantisation")
        if read.kind != PROGRESSIVE:
            _check_table(read, 0, direct)
        if read.kind in (BASELINE, EXTENDED):
            _check_table(read, 1, alternating)
    read.scans += 1


def _check_table(read: _Read, which: int, number: int) -> None:
    if (which, number) not in read.huffman:
        raise JpegError("a missing Huffman table")
    counts, symbols = read.huffman[which, number]
    code, left = 0, sum(counts)
    for length, count in enumerate(counts, 1):
        code += count
        # No code is all ones.
        if left and code >= 1 << length:
            raise JpegError("a damaged Huffman table")
        code, left = code << 1, left - count
    if which == 0 and max(symbols, default=0) > (MOST_BITS if read.kind == LOSSLESS else MOST_BITS - 1):
        raise JpegError("a damaged Huffman table")
