"""PNG with a palette: label maps written with the labels' colours, and read as numbers, whatever their colours.

Viewers show the colours; the pixels themselves are the labels. OpenCV writes no palettes, and replaces those that it
reads by their colours.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from repmedsam_infer.drawing.label_colours import label_colours
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.silence import silenced

PNG_START = b"\x89PNG\r\n\x1a\n"
GREY, INDEXED = 0, 3  # colour types
BYTE, WHITE = 8, 255  # bits, and the last grey level of as many
LABELS = 255  # that a palette holds beside the background
UP = 2  # the filter that takes from each byte the one above: label maps become runs of zeros
LEVEL = 3  # of compression
ROWS = 256  # that are compressed at a time
COLOURS_ONLY = (b"PLTE", b"tRNS", b"bKGD", b"sBIT", b"hIST", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"acTL")


@dataclass(frozen=True)
class PaletteSource:
    """A PNG whose numbers stand for colours, as it is in its file.

    is_turned: whether viewers show it in another orientation.
    """

    name: str
    content: bytes
    is_turned: bool

    def indices(self) -> NDArray[np.uint8]:
        """(H, W) numbers of the pixels' colours in the palette: the labels, where it is a label map.

        Raises:
            CaseReadError: it is damaged.

        """
        grey, bits = [], BYTE
        for kind, data in chunks(self.content):
            if kind == b"IHDR":
                grey.append(chunk(kind, data[:9] + bytes([GREY]) + data[10:]))
                bits = data[8]
            elif kind not in COLOURS_ONLY:
                grey.append(chunk(kind, data))
        with silenced():
            shown = cv2.imdecode(np.frombuffer(b"".join([PNG_START, *grey]), np.uint8), cv2.IMREAD_UNCHANGED)
        if shown is None:
            raise CaseReadError(f"{self.name}: its pixels cannot be decoded: it is damaged")
        # A decoder spreads grey levels of few bits over those of eight.
        return np.asarray(shown, np.uint8) // (WHITE // ((1 << bits) - 1))


def palette_source(name: str, content: bytes, *, is_turned: bool) -> PaletteSource | None:
    """Return the source of a PNG with a palette of which some colour is not grey; None of any other.

    is_turned: whether its EXIF orientation shows it turned or mirrored.
    """
    if content[:8] != PNG_START or content[25:26] != bytes([INDEXED]):
        return None
    for kind, data in chunks(content):
        if kind == b"PLTE":
            colours = np.frombuffer(data[: len(data) // 3 * 3], np.uint8).reshape(-1, 3)
            return PaletteSource(name, content, is_turned) if (colours != colours[:, :1]).any() else None
    return None


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each chunk's kind and data, as far as they are there."""
    offset = len(PNG_START)
    while offset + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, offset)
        yield kind, content[offset + 8 : offset + 8 + length]
        offset += 12 + length


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def label_png(labels: NDArray[Any]) -> bytes:
    """Return a PNG of (H, W) uint8 labels with their colours as its palette."""
    height, width = labels.shape
    header = struct.pack(">IIBBBBB", width, height, BYTE, INDEXED, 0, 0, 0)
    deflater = isal_zlib.compressobj(LEVEL)
    above = np.zeros((1, width), np.uint8)
    packed = []
    for top in range(0, height, ROWS):
        rows = np.concatenate([above, labels[top : top + ROWS]])
        filtered = np.full((len(rows) - 1, width + 1), UP, np.uint8)
        np.subtract(rows[1:], rows[:-1], out=filtered[:, 1:])
        packed.append(deflater.compress(filtered.reshape(-1).data))
        above = rows[-1:]
    packed.append(deflater.flush())
    parts = [(b"IHDR", header), (b"PLTE", label_colours(LABELS).tobytes()), (b"IDAT", b"".join(packed)), (b"IEND", b"")]
    return PNG_START + b"".join(chunk(kind, data) for kind, data in parts)
