"""Archives that zipfile reads, written by another compressor."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.io import zip_writer
from repmedsam_infer.io.zip_writer import zipped


@given(parts=st.lists(st.binary(max_size=2000), max_size=4))
def test_what_is_written_is_what_zipfile_reads(parts: list[bytes]) -> None:
    archive = zipfile.ZipFile(io.BytesIO(b"".join(zipped("a", *parts))))
    assert archive.testzip() is None
    assert archive.read("a") == b"".join(parts)


def test_beyond_the_limit_of_32_bits_zipfile_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_writer, "LARGEST", 100)
    assert zipfile.ZipFile(io.BytesIO(b"".join(zipped("a", bytes(60), bytes(60))))).read("a") == bytes(120)
