"""Headers of PNG, JPEG, TIFF and BMP files: sizes, checked before anything is decoded, pages and orientation."""

import re
import struct
from dataclasses import dataclass

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.codestream import JPEG_START, declared_size

PNG_START, BMP_START = b"\x89PNG\r\n\x1a\n", b"BM"
PHOTOMETRIC, PALETTE = 262, 3  # a TIFF tag, and its value for colours of a palette
BITS, SAMPLES, SHORT = 258, 277, 3  # TIFF tags of bits a channel and channels; a type
PLANAR, APART = 284, 2  # a TIFF tag, and its value for channels that are stored one after another
PNG_PIXELS = (b"IDAT", b"fdAT")
PNG_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}  # decoded, of each colour type
BYTE = 8  # bits
OS2_HEADER = 12  # bytes of the header that BMP has from OS/2, with sides of 16 bits
UPRIGHT = 1  # EXIF orientation of a picture that is as it is stored
ORIENTATION, SUBFILE, WIDTH, HEIGHT, DESCRIPTION = 274, 254, 256, 257, 270  # TIFF tags
MAX_PAGES, MAX_TAGS = 10_000, 4_096
# TIFF types of numbers: bytes and struct's letter.
NUMBERS = {1: (1, "B"), 3: (2, "H"), 4: (4, "I"), 16: (8, "Q")}
TEXT = 2


@dataclass(frozen=True)
class PictureHeader:
    """sizes: (height, width) of each page. orientation: EXIF's, 1 to 8. channels: what ImageJ or OME call the pages
    that are not slices, "3 channels", or empty. has_palette: numbers of BMP or TIFF stand for colours of a palette.
    bytes_a_pixel: of the decoded pages, at most.
    """

    kind: str
    sizes: tuple[tuple[int, int], ...]
    orientation: int = UPRIGHT
    channels: str = ""
    has_palette: bool = False
    bytes_a_pixel: int = 8


def read_header(name: str, content: bytes) -> PictureHeader:
    """Raise CaseReadError where it is none of these formats, or damaged."""
    try:
        if content.startswith(PNG_START):
            return _png(name, content)
        if content.startswith(JPEG_START):
            size = declared_size(content)
            if size is not None:
                return PictureHeader("JPEG", (size,), _jpeg_orientation(content), bytes_a_pixel=3)
        elif content.startswith(BMP_START):
            is_os2 = struct.unpack_from("<I", content, 14)[0] == OS2_HEADER
            width, height = struct.unpack_from("<HH" if is_os2 else "<ii", content, 18)
            (bits,) = struct.unpack_from("<H", content, 24 if is_os2 else 28)
            return PictureHeader("BMP", ((abs(height), width),), has_palette=bits <= BYTE, bytes_a_pixel=4)
        elif content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff(name, content)
    except (struct.error, OverflowError) as error:  # a place beyond any file's end
        raise CaseReadError(f"{name}: ends within its header: it is cut off; copy it again") from error
    raise CaseReadError(f"{name}: is not a PNG, JPEG, TIFF or BMP file, or is damaged")


def _png(name: str, content: bytes) -> PictureHeader:
    width, height = struct.unpack_from(">II", content, 16)
    offset, orientation, has_pixels = len(PNG_START), UPRIGHT, False
    while offset + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, offset)
        if offset + 12 + length > len(content):  # OpenCV takes memory for what a part declares
            raise CaseReadError(f"{name}: is damaged or cut off: a part of it ends beyond the file; copy it again")
        if kind == b"eXIf":
            orientation = _exif_orientation(content[offset + 8 : offset + 8 + length])
        if kind == b"acTL" and struct.unpack_from(">I", content, offset + 8)[0] > 1:
            raise CaseReadError(f"{name}: is an animation (APNG); save the one picture that you mean")
        if kind == b"IEND" and has_pixels and not length:  # OpenCV reads on after one that is odd
            break
        has_pixels |= kind in PNG_PIXELS
        offset += 12 + length
    depth, colours = struct.unpack_from(">BB", content, 24)
    bytes_a_pixel = max(1, depth // BYTE) * PNG_CHANNELS.get(colours, 4)
    return PictureHeader("PNG", ((height, width),), orientation, bytes_a_pixel=bytes_a_pixel)


def _jpeg_orientation(content: bytes) -> int:
    offset = len(JPEG_START)
    while offset + 4 <= len(content) and content[offset] == 0xFF:
        marker, length = struct.unpack_from(">BH", content, offset + 1)
        if marker == 0xE1 and content[offset + 4 : offset + 10] == b"Exif\0\0":
            return _exif_orientation(content[offset + 10 : offset + 2 + length])
        if marker == 0xDA:
            break
        offset += 2 + length
    return UPRIGHT


def _exif_orientation(content: bytes) -> int:
    """Upright where the block is damaged, as in viewers."""
    try:
        directories = list(_directories(content, 1))
    except (struct.error, OverflowError, CaseReadError):
        return UPRIGHT
    return _orientation_of(directories[0]) if directories else UPRIGHT


def _orientation_of(tags: dict[int, int | bytes]) -> int:
    found = tags.get(ORIENTATION, UPRIGHT)
    return found if isinstance(found, int) and 1 <= found <= 8 else UPRIGHT


def _tiff(name: str, content: bytes) -> PictureHeader:
    directories = list(_directories(content, MAX_PAGES))
    # Bit 0 of SUBFILE: a smaller copy of another page; bit 2: a mask for one.
    pages = [tags for tags in directories if not _whole(tags, SUBFILE) & 5]
    sizes = tuple((_whole(tags, HEIGHT), _whole(tags, WIDTH)) for tags in pages)
    if not sizes or min(map(min, sizes)) < 1:
        raise CaseReadError(f"{name}: has no page with a size: it is damaged")
    if len(pages) < len(directories):
        raise CaseReadError(
            f"{name}: holds smaller copies of its picture (a pyramid, or a preview); export the one picture you mean"
        )
    if any(_is_apart(tags) for tags in pages):
        raise CaseReadError(
            f"{name}: its channels are stored one after another (PlanarConfiguration 2), which is read of colours of 8 "
            "bits only; export it with the channels of a pixel side by side"
        )
    description = pages[0].get(DESCRIPTION, b"")
    text = description.decode("utf-8", "replace") if isinstance(description, bytes) else ""
    has_palette = any(_whole(tags, PHOTOMETRIC) == PALETTE for tags in pages)
    channels = 3 if has_palette else max(_whole(tags, SAMPLES) or 1 for tags in pages)
    depth = max(_whole(tags, BITS) or 1 for tags in pages)
    bytes_a_pixel = min(channels, 4) * min(-(-depth // BYTE), 8)
    return PictureHeader("TIFF", sizes, _orientation_of(pages[0]), _not_slices(text), has_palette, bytes_a_pixel)


def _is_apart(tags: dict[int, int | bytes]) -> bool:
    """Whether channels are stored in a way that OpenCV takes for another: what it returns is noise."""
    samples = _whole(tags, SAMPLES) or 1
    return _whole(tags, PLANAR) == APART and samples > 1 and (_whole(tags, BITS) != BYTE or samples not in (3, 4))


def _not_slices(description: str) -> str:
    """Return what of ImageJ's or OME's description says that pages are other than slices."""
    words = {"channels": "channels", "frames": "frames", "SizeC": "channels", "SizeT": "times"}
    for key, value in re.findall(r"\b(channels|frames|SizeC|SizeT)=\"?(\d{1,6})", description):
        if int(value) > 1:
            return f"{int(value)} {words[key]}"
    return ""


def _directories(content: bytes, most: int) -> list[dict[int, int | bytes]]:
    """Of each page, the tags that are one whole number, and its description."""
    order = "<" if content[:2] == b"II" else ">"
    is_big = struct.unpack_from(order + "H", content, 2)[0] == 43
    word, size = ("Q", 8) if is_big else ("I", 4)
    (offset,) = struct.unpack_from(order + word, content, 8 if is_big else 4)
    found: list[dict[int, int | bytes]] = []
    offsets = set()
    while offset and offset not in offsets and len(found) < most:
        offsets.add(offset)
        (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), content, offset)
        if count > MAX_TAGS:
            raise CaseReadError(f"a page with {count} tags")
        start = offset + (8 if is_big else 2)
        entry = 4 + 2 * size
        places = (start + i * entry for i in range(count))
        found.append(dict(filter(None, (_tag(content, order, word, size, place) for place in places))))
        (offset,) = struct.unpack_from(order + word, content, start + count * entry)
    return found


def _tag(content: bytes, order: str, word: str, size: int, place: int) -> tuple[int, int | bytes] | None:
    tag, kind, count = struct.unpack_from(f"{order}HH{word}", content, place)
    value = place + 4 + size
    if kind in NUMBERS and count == 1:
        return tag, struct.unpack_from(order + NUMBERS[kind][1], content, value)[0]
    if tag == BITS and kind == SHORT:  # of each channel; they are alike
        start = value if 2 * count <= size else struct.unpack_from(order + word, content, value)[0]
        return tag, struct.unpack_from(order + "H", content, start)[0]
    if kind == TEXT and tag == DESCRIPTION:
        start = value if count <= size else struct.unpack_from(order + word, content, value)[0]
        return tag, content[start : start + min(count, 1 << 16)]
    return None


def _whole(tags: dict[int, int | bytes], tag: int) -> int:
    value = tags.get(tag, 0)
    return value if isinstance(value, int) else 0
