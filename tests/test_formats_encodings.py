"""How numbers stand in files of NRRD and MetaImage: every encoding, packed or not, whole, cut off or too much."""

import bz2
import gzip
import itertools
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats import read_scan
from repmedsam_infer.formats.voxels import numbers, packed
from tests.fuzz.headers import PLACE, RAW, SAMPLES, TEXT, VOXELS, meta, nrrd

EXPECTED = VOXELS.reshape(3, 4, 5)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "gzip": gzip.compress,
    "gz": gzip.compress,
    "bzip2": bz2.compress,
    "bz2": bz2.compress,
    "hex": lambda data: data.hex(" ").upper().encode(),
    "text": lambda data: " ".join(map(str, np.frombuffer(data, "<i2"))).encode(),
    "ascii": lambda data: ",\n".join(map(str, np.frombuffer(data, "<i2"))).encode(),
}
PACKED = ("gzip", "gz", "bzip2", "bz2")


def voxels_of(path: Path, content: bytes) -> NDArray[np.generic]:
    path.write_bytes(content)
    return read_scan(path).voxels


@pytest.mark.parametrize("encoding", PACK)
def test_nrrd_in_every_encoding_behind_what_is_skipped(encoding: str, tmp_path: Path) -> None:
    path, pack = tmp_path / "v.nrrd", PACK[encoding]
    np.testing.assert_array_equal(voxels_of(path, nrrd(pack(RAW), encoding)), EXPECTED)
    np.testing.assert_array_equal(voxels_of(path, nrrd(pack(RAW) + b"\nmore", encoding)), EXPECTED)
    lines = "line skip: 2\n"
    np.testing.assert_array_equal(voxels_of(path, nrrd(b"a\nb\r\n" + pack(RAW), encoding, lines)), EXPECTED)
    data = pack(b"123" + RAW) if encoding in PACKED else b"123" + pack(RAW)
    np.testing.assert_array_equal(
        voxels_of(path, nrrd(b"a\nb\r\n" + data, encoding, lines + "byte skip: 3\n")), EXPECTED
    )


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("behind", [b"", b"rest"])
def test_voxels_at_the_end_are_found_from_there(encoding: str, behind: bytes, tmp_path: Path) -> None:
    path, more = tmp_path / "v.nrrd", f"byte skip: {-1 - len(behind)}\n"
    if encoding in (*PACKED, "raw"):
        content = nrrd(PACK[encoding](b"before!" + RAW + behind), encoding, more)
        np.testing.assert_array_equal(voxels_of(path, content), EXPECTED)
        with pytest.raises(CaseReadError, match="cut off"):
            voxels_of(path, nrrd(PACK[encoding](RAW[1:] + behind), encoding, more))
    else:
        with pytest.raises(CaseReadError, match="as 'byte skip': it is damaged"):
            voxels_of(path, nrrd(PACK[encoding](RAW), encoding, more))


@pytest.mark.parametrize("encoding", PACK)
def test_fewer_voxels_than_promised_are_called_cut_off(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(CaseReadError, match=r"^v\.nrrd: ends after 118 of 120 bytes of its voxels: it is cut off"):
        voxels_of(tmp_path / "v.nrrd", nrrd(PACK[encoding](RAW[:-2]), encoding))
    with pytest.raises(CaseReadError, match="its voxels are packed by gzip, and they are not|cut off|damaged"):
        voxels_of(tmp_path / "v.nrrd", nrrd(PACK[encoding](RAW)[:40], encoding))


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_packed_voxels_are_compared_with_their_checksum(encoding: str, tmp_path: Path) -> None:
    data = bytearray(PACK[encoding](RAW))
    data[-6 if encoding == "gzip" else 12] ^= 1
    with pytest.raises(CaseReadError, match=f"its {encoding} data: .* damaged or cut off; copy it again"):
        voxels_of(tmp_path / "v.nrrd", nrrd(bytes(data), encoding))
    with pytest.raises(CaseReadError, match="data: they end early"):
        voxels_of(tmp_path / "v.nrrd", nrrd(PACK["gzip"](RAW)[:-3], "gzip"))
    with pytest.raises(CaseReadError, match="are packed by bzip2, and they are not"):
        voxels_of(tmp_path / "v.nrrd", nrrd(RAW, "bzip2"))


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_packed_parts_follow_each_other(encoding: str, tmp_path: Path) -> None:
    data = b"".join(PACK[encoding](part) for part in (RAW[:7], b"", RAW[7:50], RAW[50:]))
    np.testing.assert_array_equal(voxels_of(tmp_path / "v.nrrd", nrrd(data, encoding)), EXPECTED)


@pytest.mark.parametrize(
    ("encoding", "kind"), [("raw", "short"), ("gzip", "short"), ("hex", "short"), ("raw", "double")]
)
def test_either_order_of_bytes(encoding: str, kind: str, tmp_path: Path) -> None:
    code = {"short": "i2", "double": "f8"}[kind]
    big = PACK[encoding](VOXELS.astype(f">{code}").tobytes())
    content = nrrd(big, encoding, kind=kind).replace(b"endian: little", b"endian: big")
    found = voxels_of(tmp_path / "v.nrrd", content)
    np.testing.assert_array_equal(found, EXPECTED)
    assert found.dtype == np.dtype(code)
    raw = meta(VOXELS.astype(">i2").tobytes()).replace(b"MSB = False", b"MSB = True")
    np.testing.assert_array_equal(voxels_of(tmp_path / "v.mha", raw), EXPECTED)


@pytest.mark.parametrize(
    ("more", "data"),
    [
        ("CompressedData = True\n", zlib.compress(RAW)),
        ("CompressedData = True\n", gzip.compress(RAW, mtime=0)),
        ("CompressedData = True\nCompressedDataSize = 3\n", zlib.compress(RAW) + b"rest"),
        ("CompressedData = True\n", zlib.compress(RAW + b"more")),
        ("BinaryData = False\n", TEXT),
        ("BinaryData = False\n", TEXT.replace(b" ", b"\r\n") + b" rest"),
        ("BinaryData = False\nCompressedData = True\n", TEXT),
        ("HeaderSize = -1\n", b"anything" + RAW),
        ("HeaderSize = 0\n", RAW),
        ("Comment = ElementDataFile = /etc/passwd\n", RAW),
        (PLACE, RAW),
    ],
    ids=itertools.count(),
)
def test_metaimage_in_every_encoding(more: str, data: bytes, tmp_path: Path) -> None:
    np.testing.assert_array_equal(voxels_of(tmp_path / "v.mha", meta(data, more)), EXPECTED)


def test_header_size_counts_from_the_start_of_the_file_of_the_voxels(tmp_path: Path) -> None:
    (tmp_path / "v.raw").write_bytes(b"12345" + RAW)
    found = voxels_of(tmp_path / "v.mhd", meta(b"", "HeaderSize = 5\n", file="v.raw"))
    np.testing.assert_array_equal(found, EXPECTED)
    head = meta(b"", "HeaderSize = 200\n")
    np.testing.assert_array_equal(voxels_of(tmp_path / "v.mha", head.ljust(200) + RAW), EXPECTED)


@pytest.mark.parametrize(
    ("more", "data", "reason"),
    [
        ("CompressedData = True\n", zlib.compress(RAW[1:]), "ends after 119 of 120 bytes"),
        ("CompressedData = True\n", zlib.compress(RAW)[:-2], "its zlib data: they end early"),
        ("CompressedData = True\n", RAW, "its voxels are packed by zlib, and they are not"),
        ("CompressedData = True\n", zlib.compress(RAW)[:-1] + b"\1", "its zlib data"),
        ("BinaryData = False\n", TEXT.replace(b"7", b"x"), "other words than numbers"),
        ("BinaryData = False\n", TEXT.replace(b"7", b"1_0"), "other words than numbers"),
        ("BinaryData = False\n", TEXT.replace(b" 7 ", b" nan "), "none of -32768 to 32767"),
        ("BinaryData = False\n", TEXT.replace(b" 7 ", b" 40000 "), "none of -32768 to 32767"),
        ("BinaryData = False\n", b"1" * 2000, "more than 1,000 characters"),
        ("BinaryData = False\n", b" " * 2000, "ends after 0 of 120 bytes"),
        ("HeaderSize = -1\nCompressedData = True\n", zlib.compress(RAW), "has '-1' as 'HeaderSize'"),
        ("HeaderSize = 99999\n", RAW, "ends after 0 of 120 bytes"),
        ("ElementSpacing = 1 2\n", RAW, "has '1 2' as 'ElementSpacing'"),
        ("ElementSpacing = 1 2 x\n", RAW, "has 'x' as 'ElementSpacing'"),
        ("ElementSpacing = 1 2 0\n", RAW, "its voxels are 1 x 2 x 0 mm large"),
        ("TransformMatrix = 1 0 0 1 0 0 0 0 1\n", RAW, "its axes lie in one plane"),
        ("ElementNumberOfChannels = 0\n", RAW, "has '0' as 'ElementNumberOfChannels'"),
    ],
)
def test_metaimages_that_are_damaged_say_what_is_wrong(more: str, data: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CaseReadError, match=f"^v.mha: .*{reason}"):
        voxels_of(tmp_path / "v.mha", meta(data, more))


def test_data_in_a_file_beside_are_read_and_no_other_file_is(tmp_path: Path) -> None:
    (tmp_path / "v.raw.gz").write_bytes(gzip.compress(RAW))
    for name in ("v.raw.gz", "./v.raw.gz"):
        content = nrrd(b"", "gzip", f"data file: {name}\n")
        np.testing.assert_array_equal(voxels_of(tmp_path / "v.nhdr", content), EXPECTED)
        np.testing.assert_array_equal(voxels_of(tmp_path / "v.nhdr", content.rstrip(b"\n")), EXPECTED)
    folder = tmp_path / "below"
    folder.mkdir()
    (folder / "v.raw.gz").write_bytes(gzip.compress(RAW))
    for name in (
        "below/v.raw.gz",
        "../v.raw.gz",
        str(tmp_path / "v.raw.gz"),
        "LIST",
        "LIST 2",
        "v%d.gz 1 3 1",
        "",
        ".",
        "..",
    ):
        with pytest.raises(CaseReadError, match=r"^v\.nhdr: its voxels are "):
            voxels_of(tmp_path / "v.nhdr", nrrd(b"", "gzip", f"data file: {name}\n"))


@given(first=st.integers(0, 59), data=st.data(), kind=st.sampled_from(["raw", "gzip", "bzip2", "hex", "text"]))
def test_any_part_of_the_numbers_is_read(
    first: int, data: st.DataObject, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    count = data.draw(st.integers(1, 60 - first))
    path = tmp_path_factory.mktemp("part") / "numbers"
    path.write_bytes(PACK[kind](RAW))
    encoding = numbers.Encoding(kind, np.dtype("<i2"), 60)
    with path.open("rb") as stream:
        found = numbers.read_numbers("v", stream, encoding, first, count)
    np.testing.assert_array_equal(found, VOXELS[first : first + count])


@given(sizes=st.tuples(st.integers(1, 9), st.integers(3, 9), st.integers(1, 9)))
def test_pieces_may_end_anywhere(sizes: tuple[int, int, int], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("pieces") / "v.nrrd"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "PIECE", sizes[0])
        patch.setattr(packed, "PACKED_PIECE", sizes[1])
        patch.setattr(numbers, "TEXT_PIECE", sizes[2])
        for encoding, pack in PACK.items():
            np.testing.assert_array_equal(voxels_of(path, nrrd(pack(RAW), encoding)), EXPECTED)


@pytest.mark.parametrize("content", [files["v.nrrd"] for files in SAMPLES if len(files.get("v.nrrd", b"")) > 10_000])
def test_a_bomb_is_unpacked_to_the_promised_size_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bomb.nrrd"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        assert not read_scan(path).voxels.any()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_parts_that_follow_each_other_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MOST_PARTS", 50)
    with pytest.raises(CaseReadError, match="in more than 50 parts"):
        voxels_of(tmp_path / "v.nrrd", nrrd(gzip.compress(b"") * 50 + gzip.compress(RAW), "gzip"))
