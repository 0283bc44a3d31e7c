"""How large compressed frames say they are, before a codec believes them.

Codecs allocate what the codestream declares, which no DICOM header contains: a hundred bytes can ask for 16 GiB.
"""

import struct

JPEG2000_START = b"\xff\x4f\xff\x51"  # SOC, SIZ
JPEG_START = b"\xff\xd8"
# Start of frame in JPEG (less DHT, JPG and DAC, which share the range) and in JPEG-LS.
SIZE_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
JP2_START, JP2_START_BOX = b"\x00\x00\x00\x0cjP  ", 12  # the first box, and how long it is
JP2_CODESTREAM = b"jp2c"
BOX_HEAD = 8  # bytes: of a box its length, which counts them, and its kind
BOXES = 4096  # bytes of JP2 boxes that may precede a JPEG 2000 codestream


def declared_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 codestream declares; None where none is found."""
    try:
        if frame.startswith(JPEG_START):
            return _jpeg_size(frame)
        start = frame.find(JPEG2000_START, 0, BOXES)
        if start < 0:
            return None
        right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    except struct.error:
        return None
    return bottom - top, right - left


def has_end(frame: bytes) -> bool:
    """Whether the JP2 boxes before a JPEG 2000 codestream, if there are any, lead on to one or to the end.

    A box of no length leads pydicom in a circle.
    """
    offset = JP2_START_BOX if frame.startswith(JP2_START) else len(frame)
    while offset < len(frame):
        length, kind = int.from_bytes(frame[offset : offset + 4], "big"), frame[offset + 4 : offset + 8]
        if kind == JP2_CODESTREAM:
            return True
        if length < BOX_HEAD:
            return False
        offset += length
    return True


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    offset = len(JPEG_START)
    while True:
        start, marker = struct.unpack_from(">BB", frame, offset)
        if start != 0xFF:
            return None
        if marker == 0xFF:  # a filling byte
            offset += 1
        elif marker in SIZE_MARKERS:
            rows, columns = struct.unpack_from(">HH", frame, offset + 5)
            return rows, columns
        else:
            offset += 2 + struct.unpack_from(">H", frame, offset + 2)[0]
