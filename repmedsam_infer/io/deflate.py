"""Members of zip files, inflated and deflated by ISA-L: the same format, several times as fast as zlib.

zipfile knows the format, but no other compressor than zlib; what it finds in an archive is read here, and archives of
one member are written.
"""

import io
import struct
import zipfile
from typing import IO

from isal import isal_zlib

RAW_DEFLATE = -15  # as zlib's wbits: no header, no checksum of its own
PIECE, MOST = 1 << 16, 1 << 20  # bytes taken from the file, and given, at a time: bounded whatever it says
LEVEL = 1  # label maps are long runs of equal bytes: higher levels take longer for a few per cent
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
CENTRAL_HEADER = struct.Struct("<4s6H3L5H2L")
END_OF_CENTRAL = struct.Struct("<4s4H2LH")
VERSION, EARLIEST = 20, 0x21  # of the format, that deflate needs; 1980-01-01: equal content gives equal files
LARGEST = 0xFFFFFFFF - (1 << 16)  # beyond, sizes need zip's 64-bit extension


class DamagedError(Exception):
    """A member is not what the archive says."""


class Inflated(io.RawIOBase):
    """A deflated or stored member, readable once from beginning to end; its checksum is verified there.

    Raises:
        DamagedError: when opened or read, where it is not what the archive says.

    """

    def __init__(self, file: IO[bytes], info: zipfile.ZipInfo) -> None:
        super().__init__()
        if info.compress_type not in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
            raise DamagedError(f"is compressed by method {info.compress_type}, which numpy does not use")
        file.seek(info.header_offset)
        header = file.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise DamagedError("its local header is missing")
        *_, name_length, extra_length = LOCAL_HEADER.unpack(header)
        file.seek(name_length + extra_length, io.SEEK_CUR)
        self.file, self.info = file, info
        self.inflater = isal_zlib.decompressobj(RAW_DEFLATE) if info.compress_type == zipfile.ZIP_DEFLATED else None
        self.left = info.compress_size
        self.pending = b""  # of the file, not yet inflated
        self.ready = memoryview(b"")  # inflated, not yet read
        self.crc = self.given = self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        if not self.ready:
            self.ready = memoryview(self._next())
        count = min(len(target), len(self.ready))
        target[:count] = self.ready[:count]
        self.ready = self.ready[count:]
        self.position += count
        return count

    def tell(self) -> int:
        return self.position

    def _next(self) -> bytes:
        """Some more content; empty at its end."""
        while True:
            if not self.pending and self.left:
                self.pending = self.file.read(min(PIECE, self.left))
                if not self.pending:
                    raise DamagedError("the file is cut off")
                self.left -= len(self.pending)
            if self.inflater is None:
                content, self.pending = self.pending, b""
            elif self.inflater.eof:
                content = b""
            else:
                try:
                    content = self.inflater.decompress(self.pending, MOST)
                except isal_zlib.error as error:  # type: ignore[misc]  # its stubs do not say that it is an exception
                    raise DamagedError(str(error)) from error
                self.pending = self.inflater.unconsumed_tail
            self.crc = isal_zlib.crc32(content, self.crc)
            self.given += len(content)
            if self.given > self.info.file_size:
                raise DamagedError(f"holds more than the {self.info.file_size:,} bytes that are declared")
            if content:
                return content
            if self.inflater is None or self.inflater.eof or not (self.left or self.pending):
                break
        if self.given != self.info.file_size:
            raise DamagedError(f"holds {self.given:,} bytes where {self.info.file_size:,} are declared")
        if self.crc != self.info.CRC:
            raise DamagedError("its checksum (CRC-32) is wrong")
        return b""


def zipped(name: str, *contents: bytes | memoryview) -> list[bytes]:
    """A zip archive of one member, the `contents` one after another: its parts, to be written one after another."""
    size = sum(len(content) for content in contents)
    if size > LARGEST:
        return [large_zip(name, *contents)]
    deflater = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, RAW_DEFLATE)
    parts = [deflater.compress(content) for content in contents] + [deflater.flush()]
    crc = 0
    for content in contents:
        crc = isal_zlib.crc32(content, crc)
    packed = sum(map(len, parts))
    raw_name = name.encode("ascii")
    common = (0, zipfile.ZIP_DEFLATED, 0, EARLIEST, crc, packed, size, len(raw_name), 0)
    local = LOCAL_HEADER.pack(b"PK\x03\x04", VERSION, *common) + raw_name
    central = CENTRAL_HEADER.pack(b"PK\x01\x02", VERSION, VERSION, *common, 0, 0, 0, 0, 0) + raw_name
    end = END_OF_CENTRAL.pack(b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local) + packed, 0)
    return [local, *parts, central, end]


def large_zip(name: str, *contents: bytes | memoryview) -> bytes:
    """The same by zipfile, which knows the 64-bit extension."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        member = zipfile.ZipInfo(name)
        member.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(member, "w", force_zip64=True) as stream:
            for content in contents:
                stream.write(content)
    return buffer.getvalue()
