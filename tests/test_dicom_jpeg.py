"""Damaged JPEG, JPEG-LS and JPEG 2000 in DICOM: refused before GDCM, which ends the process on it, reads it."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.jpeg import JpegError, check_jpeg
from repmedsam_infer.formats.dicom.series import read_dicom

pytest.importorskip("gdcm")

SHIPPED = ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_app14_dcmd.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm", "JPGExtended.dcm"]
OTHERS = ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm"]
# Reads files whose codestreams have a few other bytes in their first 400.
SCRIPT = """
import random, sys
from pathlib import Path
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.series import read_dicom
draw, refused = random.Random(int(sys.argv[1])), 0
target = Path(sys.argv[2])
for path in map(Path, sys.argv[3:]):
    whole = path.read_bytes()
    start = max(whole.find(b"\\xff\\xd8\\xff"), whole.find(b"\\xff\\x4f\\xff\\x51"))
    for _ in range(40):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            content[start + draw.randrange(draw.choice((60, 400)))] = draw.randrange(256)
        target.write_bytes(content)
        try:
            read_dicom(target)
        except CaseReadError as error:
            assert str(error).isprintable()
            refused += 1
print("refused", refused > 40)
"""


def shipped(name: str) -> Path:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path)


def codestream(name: str) -> tuple[bytes, int]:
    header = dcmread(shipped(name))
    return next(iter(generate_frames(header.PixelData, number_of_frames=1))), header.SamplesPerPixel


@pytest.mark.parametrize("seed", range(2))
def test_no_damage_ends_the_process(seed: int, tmp_path: Path) -> None:
    paths = [shipped(name) for name in (*SHIPPED, *OTHERS)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(seed), tmp_path / "damaged.dcm", *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused True\n", "")


@pytest.mark.parametrize("name", SHIPPED)
def test_segments_of_sound_files_pass(name: str) -> None:
    check_jpeg(*codestream(name))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"JFIF\0\1", b"JFIF\0\7", "version 7 of JFIF"),
        (b"\xff\xdb\0\x43\0", b"\xff\xdb\0\x43\7", "damaged table of quantisation"),
        (b"\xff\xdb\0\x43\0", b"\xff\xfe\0\x43\0", "missing table of quantisation"),
        (b"\xff\xc4", b"\xff\xfe", "missing Huffman table"),
        (b"\xff\xc0", b"\xff\xcb", "unknown kind of frame"),
        (b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x28", "of 40 bits"),
        (b"\xff\xc0", b"\xff\0\xff\xc0", "bytes between its segments"),
        (b"\xff\xda", b"\xff\xd9", "no pixels"),
    ],
)
def test_each_fault_is_said(old: bytes, new: bytes, reason: str, tmp_path: Path) -> None:
    header = dcmread(shipped("SC_rgb_jpeg_dcmtk.dcm"))
    frame, _ = codestream("SC_rgb_jpeg_dcmtk.dcm")
    assert old in frame
    header.PixelData = encapsulate([frame.replace(old, new, 1)])
    header.save_as(tmp_path / "a.dcm")
    with pytest.raises(CaseReadError, match=rf"^a.dcm: its compressed pixels have .*{reason}.*damaged or cut off"):
        read_dicom(tmp_path / "a.dcm")


@given(name=st.sampled_from(SHIPPED), data=st.data())
def test_codestreams_of_any_bytes_are_sound_or_at_fault(name: str, data: st.DataObject) -> None:
    frame, samples = codestream(name)
    content = bytearray(frame[: data.draw(st.integers(0, len(frame)))])
    for _ in range(data.draw(st.integers(0, 4)) if content else 0):
        content[data.draw(st.integers(0, min(len(content), 500) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_jpeg(bytes(content), samples)
    except JpegError as error:
        assert str(error)
