"""Zip files as zipfile reads and writes them, by another compressor."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.io import deflate
from repmedsam_infer.io.deflate import MOST, DamagedError, Inflated, zipped


def inflate(archive: bytes, name: str = "a") -> bytes:
    file = io.BytesIO(archive)
    return Inflated(file, zipfile.ZipFile(file).getinfo(name)).read()


def archive_of(content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("other", b"something before it")
        archive.writestr("a", content)
    return buffer.getvalue()


@given(parts=st.lists(st.binary(max_size=2000), max_size=4))
def test_what_is_written_is_what_zipfile_reads(parts: list[bytes]) -> None:
    archive = zipfile.ZipFile(io.BytesIO(b"".join(zipped("a", *parts))))
    assert archive.testzip() is None
    assert archive.read("a") == b"".join(parts)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@given(content=st.binary(max_size=5000), repeat=st.sampled_from([1, 3, 1000]))
def test_what_zipfile_wrote_is_what_is_read(method: int, content: bytes, repeat: int) -> None:
    assert inflate(archive_of(content * repeat, method)) == content * repeat


def test_memory_is_bounded_whatever_is_packed() -> None:
    file = io.BytesIO(archive_of(bytes(50_000_000)))
    member = Inflated(file, zipfile.ZipFile(file).getinfo("a"))
    member.readinto(memoryview(bytearray(10)))
    assert len(member.ready) <= MOST


def test_beyond_the_limit_of_32_bits_zipfile_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deflate, "LARGEST", 100)
    assert inflate(b"".join(zipped("a", bytes(60), bytes(60)))) == bytes(120)


@given(at=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_changes_nothing(at: int, change: int) -> None:
    content = np.random.default_rng(0).integers(0, 9, 4000).astype(np.uint8).tobytes()
    archive = bytearray(archive_of(content))
    file = io.BytesIO(archive)
    info = zipfile.ZipFile(file).getinfo("a")
    begin, end = info.header_offset, info.header_offset + 30 + 1 + info.compress_size
    archive[begin + at % (end - begin)] ^= change
    try:
        found = Inflated(io.BytesIO(archive), info).read()
    except DamagedError:
        return
    assert found == content


def test_other_methods_are_refused_by_name() -> None:
    with pytest.raises(DamagedError, match="method 14"):
        inflate(archive_of(b"abc", zipfile.ZIP_LZMA))
