"""Pictures: PNG chunks, JPEG segments, TIFF tags and BMP headers changed, with sums that are right, and bytes."""

import json
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.conftest import good_image
from tests.fuzz import good, odd
from tests.fuzz.trial import INPUTS, OUTPUTS, Trial

ENDINGS = (".png", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
TIFF_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 305, 317, 320, 322, 323, 338, 339, 34665)
CHUNKS = (b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"tRNS", b"PLTE", b"iCCP", b"gAMA", b"acTL", b"IDAT", b"IHDR", b"IEND")
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"  # and the orientation


def pictures(dice: random.Random, folder: Path) -> Trial:
    """`segment` or `convert` of eight hostile pictures, and a good one that comes last."""
    inputs = folder / INPUTS
    inputs.mkdir()
    names = []
    for i in range(8):
        ending = dice.choice(ENDINGS)
        name = odd.file_name(dice, f"p{i}", dice.choice(ENDINGS) if dice.random() < 0.05 else ending)
        (inputs / name).write_bytes(spoiled(dice, ending))
        names.append(f"{INPUTS}/{name}")
    (inputs / "good.png").write_bytes(good.picture(".png"))
    called = [name.removeprefix(f"{INPUTS}/") for name in names]
    content = {"cases": {name: [good.BOX_2D] for name in [*called, "good.png"]}}
    (inputs / "boxes.json").write_text(json.dumps(content))
    command = dice.choice(("segment", "segment", "convert"))
    arguments = [command, *names, f"{INPUTS}/good.png", "--boxes", f"{INPUTS}/boxes.json", "-o", OUTPUTS]
    if command == "convert":
        return Trial(folder, arguments, names, {}, reported=False)
    return Trial(folder, arguments, names, {f"{OUTPUTS}/good.png": "good.png"})


def spoiled(dice: random.Random, ending: str) -> bytes:
    raw = picture(dice, ending)
    if dice.random() < 0.3:
        return odd.damaged(dice, raw, 200)
    if ending == ".png":
        return png(dice, raw)
    if ending in (".jpg", ".jpeg"):
        return jpeg(dice, raw)
    return tiff(dice, raw) if ending in (".tif", ".tiff") else bmp(dice, raw)


def picture(dice: random.Random, ending: str) -> bytes:
    """Return a good one, of some depth and colours."""
    image = good_image()
    kinds: list[NDArray[Any]] = [image, image[..., 0], np.dstack([image, image[..., :1]])]
    if ending not in (".jpg", ".jpeg", ".bmp"):
        kinds.append(image.astype(np.uint16) * 257)
    if ending in (".tif", ".tiff"):
        kinds += [image[..., 0].astype(np.float32), image[..., 0].astype(np.float64)]
        if dice.random() < 0.3:
            done, pages = cv2.imencodemulti(".tif", [image[..., 0]] * dice.choice((2, 3, 40)))
            return bytes(pages.tobytes()) if done else b""
    chosen = dice.choice(kinds)
    if ending in (".jpg", ".jpeg") and chosen.ndim == 3:
        chosen = chosen[..., :3]
    done, encoded = cv2.imencode(ending, chosen)
    assert done
    return encoded.tobytes()


def png(dice: random.Random, raw: bytes) -> bytes:
    """Chunks with fields that are odd, and the right checksum (mostly)."""
    chunks, at = [], 8
    while at + 8 <= len(raw):
        (length,) = struct.unpack_from(">I", raw, at)
        chunks.append((raw[at + 4 : at + 8], raw[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(dice.choice((1, 1, 2))):
        what = dice.random()
        where = dice.randrange(len(chunks) + 1)
        if what < 0.4:
            header = bytearray(chunks[0][1].ljust(13, b"\0"))
            field = dice.randrange(7)
            if field < 2:
                struct.pack_into(">I", header, 4 * field, dice.choice(odd.INTEGERS) % 2**32)
            else:
                header[6 + field] = (
                    dice.randrange(256) if dice.random() < 0.3 else dice.choice((0, 1, 2, 3, 4, 6, 8, 16))
                )
            chunks[0] = (chunks[0][0], bytes(header))
        elif what < 0.8:
            body = dice.choice((b"", EXIF[6:] + bytes([dice.randrange(10), 0, 0, 0]), dice.randbytes(50)))
            body = dice.choice(
                (body, b"Comment\0\0" + zlib.compress(bytes(20 << 20)), odd.text(dice).encode("utf-8", "replace"))
            )
            chunks.insert(where, (dice.choice(CHUNKS), body))
        elif what < 0.9 and len(chunks) > 1:
            del chunks[dice.randrange(len(chunks))]
        else:
            chunks.insert(where, dice.choice(chunks))
    out = raw[:8]
    for kind, body in chunks:
        length = len(body) if dice.random() < 0.97 else dice.choice(odd.INTEGERS) % 2**32
        out += struct.pack(">I", length) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return out


def jpeg(dice: random.Random, raw: bytes) -> bytes:
    """A frame header with odd sizes, components and precision; or segments between."""
    out = bytearray(raw)
    frame = raw.find(b"\xff\xc0")
    if dice.random() < 0.5 and frame >= 0:
        field = dice.choice((1, 2, 4, 5, 7, 9, 10, 11, 12))
        if field in (2, 5, 7):
            struct.pack_into(">H", out, frame + field, dice.choice(odd.INTEGERS) % 2**16)
        else:
            out[frame + field] = dice.choice((0, 1, 2, 3, 4, 8, 12, 16, 0x11, 0x22, 0x41, 255, 0xC2, 0xC3, 0xC9))
        return bytes(out)
    bodies = (EXIF + bytes([dice.randrange(10), 0, 0, 0]), EXIF[: dice.randrange(len(EXIF))], dice.randbytes(40))
    body = dice.choice((*bodies, b"JFXX\0" + bytes(60_000), odd.damaged(dice, EXIF + b"\6\0\0\0")))
    segment = bytes([0xFF, dice.choice((0xE0, 0xE1, 0xE2, 0xED, 0xFE, 0xC4, 0xDB, 0xDD, 0xC0, 0xD8, 0xD9))])
    length = len(body) + 2 if dice.random() < 0.8 else dice.choice(odd.INTEGERS)
    return raw[:2] + (segment + struct.pack(">H", length % 2**16) + body) * dice.choice((1, 1, 500)) + raw[2:]


def tiff(dice: random.Random, raw: bytes) -> bytes:
    """Entries of the first directory that are odd."""
    out = bytearray(raw)
    if len(raw) < 16:
        return raw
    (at,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, at)
    for _ in range(dice.choice((1, 1, 2, 3))):
        entry = at + 2 + 12 * dice.randrange(max(1, count))
        what = dice.randrange(7)
        if what == 0:
            struct.pack_into("<H", out, entry, dice.choice(TIFF_TAGS))
        elif what == 1:
            struct.pack_into("<H", out, entry + 2, dice.choice((0, 1, 2, 3, 4, 5, 7, 11, 12, 13, 16, 18, 99)))
        elif what == 2:
            struct.pack_into("<I", out, entry + 4, dice.choice(odd.INTEGERS) % 2**32)
        elif what == 3:  # the next directory: that one itself, or nowhere
            struct.pack_into("<I", out, at + 2 + 12 * count, dice.choice((at, 8, 4, len(raw) - 1, 2**31)))
        elif what == 4:
            struct.pack_into("<H", out, at, dice.choice((0, 1, count - 1, count + 1, 65_535)))
        else:
            struct.pack_into("<I", out, entry + 8, dice.choice((*odd.INTEGERS, len(raw) - 1, at, 8)) % 2**32)
    return bytes(out)


def bmp(dice: random.Random, raw: bytes) -> bytes:
    """A field of the header that is odd."""
    out = bytearray(raw)
    offset, code = dice.choice(
        (
            (2, "<I"),
            (10, "<I"),
            (14, "<I"),
            (18, "<I"),
            (22, "<I"),
            (26, "<H"),
            (28, "<H"),
            (30, "<I"),
            (34, "<I"),
            (46, "<I"),
        )
    )
    bits = 8 * struct.calcsize(code)
    struct.pack_into(code, out, offset, dice.choice((*odd.INTEGERS, 4, 16, 24, 32, 64, -40)) % (1 << bits))
    return bytes(out)
