"""Zip archives whose every field can lie, and npy members whose headers can."""

import random
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from tests.fuzz import odd

LOCAL, CENTRAL, END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
STORED, DEFLATED = 0, 8


@dataclass(frozen=True)
class Member:
    """One member; what is None is stated truthfully.

    hole: zeros after the payload that take no space on the disk.
    """

    name: bytes
    payload: bytes
    method: int = STORED
    flags: int = 0
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    local_name: bytes | None = None
    hole: int = 0


def write_zip(path: Path, members: list[Member], *, entries: int | None = None, comment: bytes = b"") -> None:
    """Write them one after another; entries: how many the archive states."""
    directory = bytearray()
    with path.open("wb") as file:
        for member in members:
            at = file.tell()
            fields = [0x21, 0x21, *_sums(member)]
            name = member.name if member.local_name is None else member.local_name
            packed = _packed(member)
            file.write(LOCAL.pack(b"PK\3\4", 20, member.flags, member.method, *fields, len(name), 0) + name + packed)
            if member.hole:
                file.seek(member.hole - 1, 1)
                file.write(b"\0")
            directory += CENTRAL.pack(
                b"PK\1\2", 20, 20, member.flags, member.method, *fields, len(member.name), 0, 0, 0, 0, 0, at % 2**32
            )
            directory += member.name
        count = (len(members) if entries is None else entries) % 2**16
        where = file.tell() % 2**32
        file.write(directory + END.pack(b"PK\5\6", 0, 0, count, count, len(directory), where, len(comment)) + comment)


def _packed(member: Member) -> bytes:
    if member.method != DEFLATED:
        return member.payload
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
    return deflater.compress(member.payload) + deflater.flush()


def _sums(member: Member) -> tuple[int, int, int]:
    size = len(member.payload) + member.hole
    crc = zlib.crc32(member.payload) if member.crc is None else member.crc
    packed = len(_packed(member)) + member.hole if member.packed is None else member.packed
    return crc, packed, size if member.size is None else member.size


def lying(dice: random.Random, member: Member) -> Member:
    """Return a member with one field that is not true, or a name that is odd."""
    what = dice.randrange(7)
    if what == 0:
        return replace(member, size=dice.choice((0, 1, 2**31, 2**32 - 1, len(member.payload) + 1)))
    if what == 1:
        return replace(member, packed=dice.choice((0, 1, 2**31, 2**32 - 1, len(member.payload) + 1)))
    if what == 2:
        return replace(member, crc=dice.getrandbits(32))
    if what == 3:
        return replace(member, flags=dice.choice((1, 8, 0x20, 0x40, 0x800, 0x2000, 0xFFFF)))
    if what == 4:
        return replace(member, method=dice.choice((0, 1, 8, 9, 12, 14, 93, 99, 0xFFFF)))
    odd_name = odd.text(dice).encode("utf-8", "surrogatepass")[:60_000]
    return replace(member, name=odd_name) if what == 5 else replace(member, local_name=odd_name)
