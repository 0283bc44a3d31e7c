"""DICOM that cannot be read beyond doubt: refused with one sentence that says what was found and what to do."""

import contextlib
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import (
    MPEG2MPML,
    ComputedRadiographyImageStorage,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    SecondaryCaptureImageStorage,
)

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom import folders
from repmedsam_infer.formats.dicom import pixels as dicom_pixels
from repmedsam_infer.formats.dicom.codestream import declared_size, has_end
from repmedsam_infer.formats.dicom.series import read_dicom
from tests.dicom_files import affine_of, ds, enhanced, film, image, index_of, rotated, save, write_series

Edit = Callable[[Dataset, int], None]
UPRIGHT = affine_of(rotated(), (0.7, 0.9, 2.5), (-103.25, 40.5, -512.125))
VOXELS = np.random.default_rng(0).integers(0, 2000, (6, 8, 8), np.int16)


def shipped(name: str) -> Path:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path)


def refuse(path: Path, reason: str, series: str | None = None) -> None:
    with pytest.raises(CaseReadError, match=reason) as caught:
        read_dicom(path, series)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(path.name) or path.is_dir()


def moved(offset: Callable[[int], float], axis: int = 2) -> Edit:
    """Positions moved along an axis of the volume, by mm that depend on the slice."""

    def edit(dataset: Dataset, z: int) -> None:
        direction = UPRIGHT[:3, axis] / np.linalg.norm(UPRIGHT[:3, axis])
        dataset.ImagePositionPatient = ds(np.array(dataset.ImagePositionPatient, float) + offset(z) * direction)

    return edit


def setting(z_of: int | None = None, **values: object) -> Edit:
    """Header values changed in one slice, or in all."""

    def edit(dataset: Dataset, z: int) -> None:
        if z_of is None or z == z_of:
            for keyword, value in values.items():
                setattr(dataset, keyword, value)

    return edit


STACKS: dict[str, tuple[Edit, str]] = {
    "gantry tilt": (moved(lambda z: z * 0.66, axis=1), r"lean by 14\.8 degrees \(gantry tilt\).*upright volume first"),
    "a little tilt": (moved(lambda z: z * 0.2, axis=0), r"lean by 4\.6 degrees"),
    "one slice aside": (moved(lambda z: 3.0 * (z == 2), axis=0), r"2\.50 mm beside the others"),
    "one missing slice": (moved(lambda z: 2.5 * (z > 2)), "1 slice is missing: .* are 5.00 mm apart"),
    "three missing slices": (moved(lambda z: 5 * (z > 1) + 2.5 * (z > 4)), "3 slices are missing: .* 7.50 mm apart"),
    "uneven distances": (moved(lambda z: 0.2 * z * z), "vary from 2.70 to 4.30 mm.*resample it to even slices"),
    "a double slice": (moved(lambda z: -2.5 * (z > 3)), r"000\d\.dcm and 000\d\.dcm lie at the same position"),
    "two time points": (moved(lambda z: -7.5 * (z > 2)), r"holds 2 volumes \(2 images at each of 3 positions\)"),
    "two directions": (
        setting(1, ImageOrientationPatient=["1", "0", "0", "0", "1", "0"]),
        r"different directions \(5 like 0001.dcm, 1 like 0005.dcm\), as those of a localizer",
    ),
    "two spacings": (setting(1, PixelSpacing=["1", "1"]), r"differ in PixelSpacing \(\[0.9 0.7\] mm in .*\[1 1\] mm"),
    "no spacing": (setting(PixelSpacing=None), "how large its pixels are"),
    "zero spacing": (setting(PixelSpacing=["0", "1"]), r"PixelSpacing of .* is \[0 1\] mm: the header is damaged"),
    "NaN position": (
        setting(2, ImagePositionPatient=["nan", "0", "0"]),
        r"ImagePositionPatient of 0004.dcm is \[nan 0",
    ),
    "short position": (setting(2, ImagePositionPatient=["1", "0"]), "3 finite numbers are needed"),
    "skewed axes": (
        setting(ImageOrientationPatient=["1", "0", "0", "0.5", "0.5", "0"]),
        "not two unit vectors at a right angle",
    ),
    "one without a place": (setting(2, ImagePositionPatient=None), "0004.dcm does not say where it lies, others do"),
    "none with a place": (setting(ImagePositionPatient=None), "6 pictures that do not say where they lie"),
    "slope of zero": (setting(RescaleSlope="0", RescaleIntercept="0"), "RescaleSlope of .* is 0"),
    "odd pixels": (setting(PhotometricInterpretation="HSV"), "its pixels are HSV of 1 samples, which is not supported"),
    "one of other pixels": (
        setting(1, PhotometricInterpretation="PALETTE COLOR"),
        "grey and coloured images in one series",
    ),
    "bits": (setting(BitsStored=40), "40 of 16 bits"),
    "no rows": (setting(Rows=0), "declares 0 x 8 pixels"),
    "an enhanced US volume": (
        setting(SOPClassUID="1.2.840.10008.5.1.4.1.1.6.2"),
        "Enhanced US Volume.*export it as a series of slices",
    ),
}


@pytest.mark.parametrize("kind", STACKS)
def test_what_is_no_upright_even_stack_is_refused(kind: str, tmp_path: Path) -> None:
    edit, reason = STACKS[kind]
    with disable_value_validation():
        folder = write_series(tmp_path / "series", VOXELS, UPRIGHT, edit=edit)
    refuse(folder, f"^series: .*{reason}|^000..dcm: .*{reason}")


def test_enhanced_files_have_to_be_stacks_too(tmp_path: Path) -> None:
    twice = enhanced(VOXELS, UPRIGHT, [0, 1, 2, 0, 1, 2])
    refuse(save(twice, tmp_path / "time.dcm"), r"holds 2 volumes \(2 images at each of 3 positions\)")
    gap = enhanced(VOXELS, UPRIGHT, [5, 4, 2, 1, 0])
    refuse(
        save(gap, tmp_path / "gap.dcm"),
        "1 slice is missing: frame 4 and frame 3|1 slice is missing: frame 3 and frame 2",
    )
    short = enhanced(VOXELS, UPRIGHT, [0, 1, 2])
    del short.PerFrameFunctionalGroupsSequence[2]
    refuse(save(short, tmp_path / "short.dcm"), "declares 3 frames and describes 2")
    first, second = (save(enhanced(VOXELS, UPRIGHT, [0, 1, 2]), tmp_path / f"{i}.dcm") for i in range(2))
    (tmp_path / "several").mkdir()
    for path in (first, second):
        path.rename(tmp_path / "several" / path.name)
    refuse(tmp_path / "several", "2 files in this series, 2 of them with several frames")


def test_sizes_may_not_differ(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", VOXELS, UPRIGHT)
    write_series(tmp_path / "other", VOXELS[:1, :4], UPRIGHT)
    (tmp_path / "other" / "0001.dcm").rename(folder / "x.dcm")
    refuse(folder, "differ in size .8 x 8 in 0006.dcm, 4 x 8 in x.dcm")


def test_several_series_are_listed_with_what_to_do(tmp_path: Path) -> None:
    def other(dataset: Dataset, _: int) -> None:
        dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.SeriesDescription = "1.2.826.0.1.9", 12, "T2 axial"

    folder = write_series(tmp_path / "a", VOXELS, UPRIGHT)
    for path in write_series(tmp_path / "b", VOXELS[:2], UPRIGHT, "MR", edit=other).iterdir():
        path.rename(folder / f"b{path.name}")
    listed = r"number 3 \(drawn, CT, 6 images, 1[.\d]+2\); number 12 \(T2 axial, MR, 2 images, 1[.\d]+9\)"
    refuse(folder, f"2 series; choose one by its number or SeriesInstanceUID with --series.*: {listed}")
    refuse(folder, f"there is no series 5; .*{listed}", "5")
    refuse(folder / "0001.dcm", "there is no series 5", "5")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rtplan.dcm", r"is RT Plan Storage \(RTPLAN\), not an image; give the images"),
        ("rtdose.dcm", r"is a radiotherapy dose \(RTDOSE\), not an image"),
        ("liver_1frame.dcm", r"is a segmentation \(SEG\), not an image"),
        ("test-SR.dcm", r"is Comprehensive SR Storage \(SR\), not an image"),
        ("dicomdirtests/DICOMDIR-empty.dcm", "is a DICOMDIR, an index of other files, and none of the 0"),
        (
            "dicomdirtests/DICOMDIR",
            r"13 series; choose one .* with --series.*Routine Brain, CT, 4 images, in 77654033/CT2",
        ),
        ("MR_truncated.dcm", "its pixels cannot be decoded .* damaged or cut off; copy it again"),
        ("no_meta_group_length.dcm", "is RT Image Storage without pixels, only a header"),
        ("ExplVR_LitEndNoMeta.dcm", "a DICOM data set without the 128 bytes and the mark that a file begins with"),
        ("image_dfl.dcm", r"is deflated as a whole; write it plainly first, with dcmconv \+te"),
        ("test1.json", "is not a DICOM file"),
    ],
)
def test_what_is_no_image_is_refused_by_its_name(name: str, reason: str) -> None:
    refuse(shipped(name), reason)


def test_folders_without_images_have_different_errors(tmp_path: Path) -> None:
    refuse(tmp_path / "gone", "gone: is not there")
    empty = tmp_path / "empty"
    empty.mkdir()
    refuse(empty, "empty: there are no files in this folder$")
    (empty / "axial").mkdir()
    refuse(empty, "empty: there are no files in this folder$")
    (empty / "axial" / "slice.png").write_bytes(b"hello")
    refuse(empty, r"none of the 1 files in this folder is a DICOM file; give its files by name \(slice.png\)")
    (empty / "axial" / "slice.png").unlink()
    (empty / "notes.txt").write_text("hello")
    refuse(empty, "none of the 1 files in this folder is a DICOM file")
    (empty / "plan.dcm").write_bytes(shipped("rtplan.dcm").read_bytes())
    refuse(empty, r"no images in this folder, only RT Plan Storage \(RTPLAN\): plan.dcm")


def test_a_header_without_pixels_is_refused(tmp_path: Path) -> None:
    def strip(dataset: Dataset, z: int) -> None:
        if z == 3:
            del dataset.PixelData

    refuse(write_series(tmp_path / "series", VOXELS, UPRIGHT, edit=strip), "0003.dcm: has no pixel data, only a header")


@pytest.mark.parametrize("kept", [0, 100, 140, 400, 900, -1, -60])
def test_a_file_that_is_cut_off_is_refused(kept: int, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", VOXELS[:1], UPRIGHT)
    path = folder / "0001.dcm"
    path.write_bytes(path.read_bytes()[:kept])
    refuse(path, "is empty|is not a DICOM file|cut off|missing from the header|not an image|only a header")


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_never_crashed_on(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.dcm"
    content = bytearray(shipped("MR_small_jp2klossless.dcm").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(CaseReadError):
        assert read_dicom(path).voxels.size


@given(junk=st.binary(max_size=300))
def test_junk_is_refused_never_crashed_on(junk: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("junk") / "a.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + junk)
    with pytest.raises(CaseReadError, match=r"a\.dcm"):
        read_dicom(path)


def test_a_huge_declared_size_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    huge = film(VOXELS[:2].astype(np.uint8))
    huge.Rows = huge.Columns = 60_000
    tracemalloc.start()
    refuse(save(huge, tmp_path / "huge.dcm"), r"declares 2 x 60000 x 60000 pixels, 6\.7 GiB; the limit is 2 GiB")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    huge.NumberOfFrames = 10**9
    refuse(save(huge, tmp_path / "frames.dcm"), "declares 1000000000 frames")
    few = film(VOXELS[:2].astype(np.uint8))
    few.NumberOfFrames = 3
    refuse(save(few, tmp_path / "few.dcm"), "cut off")


def test_a_codestream_larger_than_its_header_is_never_decoded(tmp_path: Path) -> None:
    picture = image(np.zeros((64, 64), np.int16), ComputedRadiographyImageStorage, "CR")
    picture.compress(JPEG2000Lossless)
    path = save(picture, tmp_path / "bomb.dcm")
    content = path.read_bytes()
    size = content.index(b"\xff\x4f\xff\x51") + 8
    assert struct.unpack_from(">II", content, size) == (64, 64)
    path.write_bytes(content[:size] + struct.pack(">II", 60_000, 60_000) + content[size + 8 :])
    refuse(path, "its header declares 64 x 64 pixels, its compressed pixels 60000 x 60000")


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_codestreams_tell_their_size(name: str) -> None:
    from pydicom.encaps import generate_frames

    dataset = dcmread(shipped(name))
    frame = next(iter(generate_frames(dataset.PixelData, number_of_frames=1)))
    assert declared_size(frame) == (dataset.Rows, dataset.Columns)
    assert declared_size(frame[:5]) is None
    assert declared_size(b"nothing of the kind") is None


def test_a_codec_that_is_missing_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoder, "is_available", False)
    refuse(
        shipped("MR_small_jp2klossless.dcm"),
        r"compressed as JPEG 2000 Image Compression \(Lossless Only\), whose codec is not installed; install pylibjpeg",
    )
    picture = image(np.zeros((8, 8), np.uint8), SecondaryCaptureImageStorage, "OT")
    picture.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    picture.PixelData = encapsulate([b"\xff\xd8"])
    refuse(save(picture, tmp_path / "a.dcm"), "compressed as JPEG Lossless, .* install python-gdcm .* dcmdjpeg")


def test_films_in_mpeg_are_refused_by_name(tmp_path: Path) -> None:
    movie = film(VOXELS[:2].astype(np.uint8))
    movie.file_meta.TransferSyntaxUID = MPEG2MPML
    movie.PixelData = encapsulate([b"\0\0\1\xb3"] * 2)
    refuse(
        save(movie, tmp_path / "movie.dcm"),
        "stored as MPEG2 Main Profile / Main Level.*export them without compression",
    )


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", VOXELS, UPRIGHT)
    refuse(folder / "gone.dcm", "not there")
    os.mkfifo(tmp_path / "fifo.dcm")  # a reader of it would wait for ever
    refuse(tmp_path / "fifo.dcm", "not a regular file")
    (tmp_path / "linked").mkdir()
    for path in folder.iterdir():
        (tmp_path / "linked" / path.name).symlink_to(path)
    np.testing.assert_array_equal(read_dicom(tmp_path / "linked").voxels, VOXELS)


def test_equal_places_in_unequal_files_are_not_taken_for_copies(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", VOXELS, UPRIGHT)
    same = dcmread(folder / "0002.dcm")
    same.PixelData = VOXELS[0].tobytes()
    same.save_as(folder / "again.dcm")
    refuse(folder, "0002.dcm and again.dcm lie at the same position")


def test_a_codec_that_fails_midway_and_a_short_file_have_different_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(film(VOXELS[:3].astype(np.uint8)), tmp_path / "film.dcm")
    monkeypatch.setattr(dicom_pixels, "decoded_frames", lambda *_: iter([VOXELS[0].astype(np.uint8)]))
    refuse(path, "ends before frame 2: it is cut off")


def test_a_dicomdir_leads_to_no_file_outside_its_folder(tmp_path: Path) -> None:
    write_series(tmp_path / "secret", VOXELS, UPRIGHT)
    for wrong in (["..", "secret", "0001.DCM"], ["../secret/0001.dcm"], [str(tmp_path / "secret" / "0001.dcm")]):
        refuse(save(index_of([wrong]), tmp_path / "DICOMDIR"), "none of the 1 that it lists is there")


def test_a_folder_of_several_series_lists_where_they_are(tmp_path: Path) -> None:
    for number in (3, 4):
        edit = setting(SeriesNumber=number, SeriesInstanceUID=f"1.2.826.0.1.{number}")
        write_series(tmp_path / "study" / "b" / f"s{number}", VOXELS, UPRIGHT, edit=edit)
    refuse(tmp_path / "study", r"2 series; .*number 3 \(.*6 images, in b/s3, .*number 4 \(.*in b/s4")
    np.testing.assert_array_equal(read_dicom(tmp_path / "study", "4").voxels, VOXELS)


def test_more_files_than_anyone_means_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "study" / "a", VOXELS, UPRIGHT)
    monkeypatch.setattr(folders, "MAX_FILES", 5)
    refuse(tmp_path / "study", "more than 5 files in one folder")
    write_series(tmp_path / "study", VOXELS[:3], UPRIGHT)
    assert read_dicom(tmp_path / "study").shape == (3, 8, 8)  # which needs none of the others


def test_a_time_that_lacks_a_slice_is_refused_whichever_volume_is_meant(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", VOXELS, UPRIGHT, edit=moved(lambda z: -7.5 * (z > 2)))
    (folder / "0001.dcm").unlink()
    for volume in (None, 0, 1):
        with pytest.raises(CaseReadError, match="lie at the same position"):
            read_dicom(folder, volume=volume)


@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_jpeg_2000_header_with_a_box_of_no_length_is_found(length: int) -> None:
    """pydicom goes in a circle there."""
    start = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
    whole = b"\x00\x00\x00\x0aftypxx" + b"\x00\x00\x00\x00jp2c" + b"\xff\x4f\xff\x51"
    assert has_end(start + whole)
    assert not has_end(start + length.to_bytes(4, "big") + b"ftyp" + bytes(64))


@given(st.binary(max_size=200))
def test_whatever_compressed_pixels_begin_with_the_search_for_an_end_has_one(content: bytes) -> None:
    has_end(b"\x00\x00\x00\x0cjP  \r\n\x87\n" + content)
    assert has_end(b"\xff\xd8" + content)
