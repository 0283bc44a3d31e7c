"""DICOM SEG out: valid, beside its images, and every voxel back where it was."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import ComputedRadiographyImageStorage

from repmedsam_infer.drawing.label_colours import label_color
from repmedsam_infer.errors import CaseWriteError
from repmedsam_infer.formats.dicom.seg import SERIES_DESCRIPTION, segment_name, write_seg
from repmedsam_infer.formats.dicom.series import read_dicom
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.io.atomic import SUFFIX
from tests.dicom_files import F64, affine_of, enhanced, film, image, rotated, save, write_series

ANGLED = affine_of(rotated(3), (0.7, 0.9, 2.5), (-103.25, 40.5, -512.125))
VOXELS = np.random.default_rng(0).integers(0, 2000, (6, 12, 10), np.int16)


def labels_of(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Labels 1, 3 and 4, none of them symmetric; 2 is empty, so is the first slice."""
    labels = np.zeros(shape, np.uint8)
    labels[1:4, 2:7, 1:5] = 1
    labels[2, 8, 9] = 3
    labels[4:, 3:5, 6:] = 4
    labels[5, 4, 6] = 1
    return labels


def points(mask: NDArray[np.bool_], affine: F64) -> set[tuple[float, ...]]:
    """The places in mm of a (D, H, W) mask's voxels."""
    z, y, x = np.nonzero(mask)
    places = np.column_stack([x, y, z, np.ones(len(x))]) @ affine.T
    return {tuple(row) for row in places[:, :3].round(2).tolist()}


def segment_points(seg: Any, number: int) -> set[tuple[float, ...]]:
    """The places of a segment's voxels, from nothing but the SEG's own header."""
    rows, columns = np.array(
        seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    ).reshape(2, 3)
    between = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    found: set[tuple[float, ...]] = set()
    for frame, group in zip(
        seg.pixel_array.reshape(-1, seg.Rows, seg.Columns), seg.PerFrameFunctionalGroupsSequence, strict=True
    ):
        shared = seg.SharedFunctionalGroupsSequence[0]
        which = (group if "SegmentIdentificationSequence" in group else shared).SegmentIdentificationSequence[0]
        if which.ReferencedSegmentNumber == number:
            y, x = np.nonzero(frame)
            origin = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            places = origin + np.outer(x * between[1], rows) + np.outer(y * between[0], columns)
            found |= {tuple(row) for row in places.round(2).tolist()}
    return found


def series(folder: Path) -> Scan:
    return read_dicom(write_series(folder, VOXELS, ANGLED, order=[3, 1, 0, 5, 2, 4]))


def multi_frame(folder: Path) -> Scan:
    return read_dicom(save(enhanced(VOXELS, ANGLED, [3, 1, 0, 5, 2, 4]), folder.with_suffix(".dcm")))


@pytest.mark.parametrize("source", [series, multi_frame])
def test_every_voxel_of_a_segment_lies_where_its_label_did(source: Any, tmp_path: Path) -> None:
    scan = source(tmp_path / "images")
    labels = labels_of(scan.shape)
    write_seg(tmp_path / "seg.dcm", labels, scan)
    seg = dcmread(tmp_path / "seg.dcm")
    for number, label in enumerate([1, 3, 4], 1):
        assert segment_points(seg, number) == points(labels == label, ANGLED)


@pytest.mark.parametrize("source", [series, multi_frame])
def test_highdicom_finds_each_segment_on_its_source_image(source: Any, tmp_path: Path) -> None:
    scan = source(tmp_path / "images")
    labels = labels_of(scan.shape)
    write_seg(tmp_path / "seg.dcm", labels, scan)
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    if source is series:
        uids = [header.SOPInstanceUID for header in scan.source.headers]
        planes = seg.get_pixels_by_source_instance(
            uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
        )
    else:
        frames = [index + 1 for index in scan.source.frames]
        planes = seg.get_pixels_by_source_frame(
            scan.source.headers[0].SOPInstanceUID,
            frames,
            ignore_spatial_locations=True,
            assert_missing_frames_are_empty=True,
        )
    np.testing.assert_array_equal(planes, np.stack([labels == label for label in (1, 3, 4)], -1))


def test_a_seg_keeps_the_study_and_says_what_made_it(tmp_path: Path) -> None:
    scan = series(tmp_path / "images")
    write_seg(tmp_path / "seg.dcm", labels_of(scan.shape), scan, ["Leber ü", "unused", "a\\b\n" + "c" * 80])
    seg, images = dcmread(tmp_path / "seg.dcm"), scan.source.headers[0]
    for keyword in (
        "StudyInstanceUID",
        "FrameOfReferenceUID",
        "PatientID",
        "PatientName",
        "StudyDate",
        "AccessionNumber",
    ):
        assert seg[keyword].value == images[keyword].value, keyword
    assert seg.SeriesInstanceUID != images.SeriesInstanceUID
    assert (seg.SegmentationType, seg.Modality, seg.SeriesDescription) == ("BINARY", "SEG", SERIES_DESCRIPTION)
    assert "not for diagnosis" in SERIES_DESCRIPTION
    described = seg.SegmentSequence
    assert [item.SegmentLabel for item in described] == ["Leber ü", "a/b " + "c" * 60, "object 4"]
    assert {item.SegmentAlgorithmType for item in described} == {"SEMIAUTOMATIC"}
    assert {item.SegmentAlgorithmName for item in described} == {"RepMedSAM"}
    for item, label in zip(described, [1, 3, 4], strict=True):
        colour = highdicom.color.CIELabColor.from_dicom_value(list(item.RecommendedDisplayCIELabValue))
        assert np.abs(np.subtract(colour.to_rgb(clip=True), label_color(label))).max() <= 2


def test_a_picture_gets_a_seg_too(tmp_path: Path) -> None:
    radiograph = image(VOXELS[0].astype(np.uint16), ComputedRadiographyImageStorage, "CR")
    scan = read_dicom(save(radiograph, tmp_path / "cr.dcm"))
    labels = labels_of((6, 12, 10))[2]
    write_seg(tmp_path / "seg.dcm", labels, scan, ["a", "b", "c"])
    seg = dcmread(tmp_path / "seg.dcm")
    np.testing.assert_array_equal(seg.pixel_array, [labels == 1, labels == 3])
    slice_alone = read_dicom(write_series(tmp_path / "images", VOXELS[:1], ANGLED) / "0001.dcm")
    write_seg(tmp_path / "slice.dcm", labels, slice_alone)
    assert segment_points(dcmread(tmp_path / "slice.dcm"), 1) == points(labels[None] == 1, ANGLED)


def test_anonymized_images_with_gaps_get_a_seg(tmp_path: Path) -> None:
    def strip(dataset: Dataset, _: int) -> None:
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "StudyID", "AccessionNumber"):
            delattr(dataset, keyword)
        dataset.PatientSex, dataset.SeriesNumber = "X", None

    scan = read_dicom(write_series(tmp_path / "images", VOXELS, ANGLED, edit=strip))
    write_seg(tmp_path / "seg.dcm", labels_of(scan.shape), scan)
    assert dcmread(tmp_path / "seg.dcm").PatientSex == ""


def test_many_labels_are_numbered_without_gaps(tmp_path: Path) -> None:
    scan = series(tmp_path / "images")
    labels = np.zeros(scan.shape, np.uint16)
    labels[3].flat[:100] = np.arange(1, 400, 4)
    write_seg(tmp_path / "seg.dcm", labels, scan)
    segments = dcmread(tmp_path / "seg.dcm").SegmentSequence
    assert [item.SegmentNumber for item in segments] == list(range(1, 101))
    assert segments[-1].SegmentLabel == "object 397"


def test_what_cannot_be_a_seg_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    scan = series(tmp_path / "images")
    target, labels = tmp_path / "out" / "seg.dcm", labels_of(scan.shape)
    target.parent.mkdir()

    def refuse(reason: str, labels: NDArray[Any], scan: Scan, path: Path = target) -> None:
        with pytest.raises(CaseWriteError, match=reason):
            write_seg(path, labels, scan)

    refuse("seg.dcm: nothing was segmented", labels * 0, scan)
    refuse("scan was not read from any; write the result in the image's own", labels, Scan("scan", VOXELS, True))
    refuse(r"labels of shape \(3, 12, 10\) for images of shape \(6, 12, 10\)", labels[:3], scan)
    refuse("could not be written to .*gone", labels, scan, tmp_path / "gone" / "seg.dcm")
    cine = read_dicom(save(film(VOXELS.astype(np.uint8)), tmp_path / "us.dcm"))
    refuse("frames of us do not say where they lie", labels, cine)

    def lost(dataset: Dataset, _: int) -> None:
        del dataset.SOPInstanceUID

    nameless = read_dicom(write_series(tmp_path / "nameless", VOXELS, ANGLED, edit=lost))
    refuse("the images have no SOPInstanceUID", labels, nameless)

    def adrift(dataset: Dataset, _: int) -> None:
        del dataset.FrameOfReferenceUID

    refuse(
        "no DICOM SEG can be made for adrift",
        labels,
        read_dicom(write_series(tmp_path / "adrift", VOXELS, ANGLED, edit=adrift)),
    )
    assert not list(target.parent.iterdir())
    assert not list(tmp_path.glob(f"*{SUFFIX}"))


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian: dicom3tools) is not installed")
@pytest.mark.parametrize("source", [series, multi_frame])
def test_dciodvfy_has_nothing_to_say(source: Any, tmp_path: Path) -> None:
    scan = source(tmp_path / "images")
    write_seg(tmp_path / "seg.dcm", labels_of(scan.shape), scan, ["liver", "", "Läsion"])
    said = subprocess.run(["dciodvfy", tmp_path / "seg.dcm"], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr.strip()) == (0, "Segmentation")


def test_names_hold_what_dicom_can_hold() -> None:
    assert segment_name("  liver ") == "liver"
    assert segment_name("a\\b\tc") == "a/b c"
    assert len(segment_name("x" * 100)) == 64
    assert segment_name("肝臓") == "肝臓"
