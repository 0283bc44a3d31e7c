"""Boxes of RTSTRUCT: each ROI's extent, on the image that it was drawn on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, FileDataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.boxes.file import read_boxes
from repmedsam_infer.formats.boxes.source import box_source
from repmedsam_infer.formats.dicom.series import read_dicom
from repmedsam_infer.formats.scan import Scan
from tests.dicom_files import F64, affine_of, ds, image, rotated, write_series

FRAME = "1.2.826.0.1.4"
ANGLED = affine_of(rotated(), (0.7, 0.9, 2.5), (-103.25, 40.5, -512.125))
VOLUME = Scan("ct", np.zeros((12, 40, 60)), True, ANGLED)
LIVER = (10, 8, 3, 19, 15, 6)  # first and last voxels


def outlines(box: tuple[int, ...], affine: F64 = ANGLED) -> list[F64]:
    """(8, 3) mm on each slice of a box of voxels: around the faces of its pixels, through the middle of its slices."""
    x0, y0, z0, x1, y1, z1 = box
    left, top, right, bottom = x0 - 0.5, y0 - 0.5, x1 + 0.5, y1 + 0.5
    x, y = (left + right) / 2, (top + bottom) / 2
    ring = [(x, top), (right, top), (right, y), (right, bottom), (x, bottom), (left, bottom), (left, y), (left, top)]
    return [np.array([(*point, z) for point in ring]) @ affine[:3, :3].T + affine[:3, 3] for z in range(z0, z1 + 1)]


def item(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def contour(points: F64, kind: str = "CLOSED_PLANAR") -> Dataset:
    return item(ContourGeometricType=kind, NumberOfContourPoints=len(points), ContourData=ds(points))


def structure_set(rois: dict[str, list[Dataset]], frame: str = FRAME, series: str = "") -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = RTStructureSetStorage, generate_uid(), "RTSTRUCT"
    of_series = [item(RTReferencedSeriesSequence=[item(SeriesInstanceUID=series)])] if series else []
    made.ReferencedFrameOfReferenceSequence = [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=of_series)]
    made.StructureSetROISequence = [
        item(ROINumber=5 * i, ReferencedFrameOfReferenceUID=frame, ROIName=name) for i, name in enumerate(rois, 1)
    ]
    made.ROIContourSequence = [
        item(ReferencedROINumber=5 * i, **({"ContourSequence": contours} if contours else {}))
        for i, contours in reversed(list(enumerate(rois.values(), 1)))
    ]
    return made


def save(folder: Path, made: FileDataset, name: str = "rs.dcm") -> Path:
    made.save_as(folder / name, enforce_file_format=True)
    return folder / name


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_the_extent_of_each_roi_is_its_box(syntax: UID, tmp_path: Path) -> None:
    made = structure_set(
        {
            "Leber ü": [contour(points) for points in outlines(LIVER)],
            "isocentre": [contour(outlines(LIVER)[0][:1], "POINT")],
            "empty": [],
            "one slice": [contour(outlines((1, 2, 4, 7, 9, 4))[0], "OPEN_PLANAR")],
            "couch": [contour(points + 4000) for points in outlines(LIVER)],
        }
    )
    made.file_meta.TransferSyntaxUID = UID(syntax)
    found = read_boxes(save(tmp_path, made), VOLUME, "ct")
    np.testing.assert_allclose(found.corners, [LIVER, (1, 2, 4, 7, 9, 4)], atol=1e-3)
    assert found.names == ["Leber ü", "one slice"]
    assert found.warnings == (
        "rs.dcm: ROIs without contours were left out (isocentre, empty)",
        "rs.dcm: ROIs beside the image were left out (couch)",
    )


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    turn=st.permutations(range(3)),
    ends=st.tuples(*[st.tuples(st.integers(0, 7), st.integers(0, 7)).map(sorted)] * 3),
)
def test_contours_give_back_the_voxels_that_they_were_drawn_around(
    seed: int, turn: list[int], ends: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also on an image whose slices lie along another axis than contours do."""
    affine = affine_of(rotated(seed), (0.7, 0.9, 2.5), (1, 2, 3))
    low, high = np.array(ends).T
    contours = [contour(points) for points in outlines((*low.tolist(), *high.tolist()), affine)]
    turned = affine.copy()
    turned[:3, :3] = affine[:3, turn]
    path = save(tmp_path_factory.mktemp("rs"), structure_set({"a": contours}))
    (box,) = read_boxes(path, Scan("ct", np.zeros((8, 8, 8)), True, turned), "ct").corners
    np.testing.assert_allclose(box, [*low[turn], *high[turn]], atol=1e-3)


def test_a_structure_set_of_another_image_is_refused(tmp_path: Path) -> None:
    scan = read_dicom(write_series(tmp_path / "ct", np.zeros((12, 40, 60), np.int16), ANGLED))
    header = scan.source.headers[0]
    own_frame, own_series = str(header.FrameOfReferenceUID), str(header.SeriesInstanceUID)
    rois = {"liver": [contour(points) for points in outlines(LIVER)]}
    (box,) = read_boxes(save(tmp_path, structure_set(rois, own_frame)), scan, "ct").corners
    np.testing.assert_allclose(box, LIVER, atol=1e-3)
    with pytest.raises(CaseReadError, match=r"rs.dcm: was drawn on another frame of reference \(1.2.3\) than ct"):
        read_boxes(save(tmp_path, structure_set(rois, "1.2.3")), scan, "ct")
    with pytest.raises(CaseReadError, match="was drawn on another series"):
        read_boxes(save(tmp_path, structure_set(rois, "", "1.2.3")), scan, "ct")
    assert len(read_boxes(save(tmp_path, structure_set(rois, "", own_series)), scan, "ct").corners) == 1
    assert len(read_boxes(save(tmp_path, structure_set(rois, "1.2.3")), VOLUME, "ct").corners) == 1  # by coordinates


def test_damaged_structure_sets_are_refused_with_a_sentence(tmp_path: Path) -> None:
    def refuse(path: Path, reason: str, scan: Scan = VOLUME) -> None:
        with pytest.raises(CaseReadError, match=reason) as caught:
            read_boxes(path, scan, "ct")
        assert str(caught.value).startswith(path.name)

    drawn = [contour(points) for points in outlines(LIVER)]
    good = save(tmp_path, structure_set({"liver": drawn}))
    refuse(good, "an RTSTRUCT is in mm, and photo has no place in space", Scan("photo", np.zeros((4, 5)), False))
    refuse(save(tmp_path, structure_set({})), "there are no boxes in it")
    refuse(
        save(tmp_path, structure_set({"liver": [contour(points + 4000) for points in outlines(LIVER)]})), "not on ct"
    )
    bad = structure_set({"liver": drawn})
    del bad.ROIContourSequence[0].ReferencedROINumber
    refuse(save(tmp_path, bad), "its contours cannot be read")
    other = tmp_path / "ct.dcm"
    image(np.zeros((4, 5), np.int16), "1.2.840.10008.5.1.4.1.1.2", "CT").save_as(other, enforce_file_format=True)
    refuse(other, "is a DICOM image, not an RTSTRUCT; label maps are for --boxes-from")
    (tmp_path / "junk.dcm").write_bytes(b"junk")
    refuse(tmp_path / "junk.dcm", "is not a DICOM file")
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(good.read_bytes()[:-300])
    refuse(cut, "damaged or cut off|cannot be read")


@pytest.mark.parametrize("fields", ["1\\2", "1\\2\\x", "1\\2\\nan", "1\\2\\1e999"])
def test_contours_that_are_no_points_are_refused(fields: str, tmp_path: Path) -> None:
    path = save(tmp_path, structure_set({"liver": [contour(np.array([[1.125, 2.125, 3.125]]))]}))
    stored = b"1.125\\2.125\\3.125"
    raw = path.read_bytes()
    assert raw.count(stored) == 1
    path.write_bytes(raw.replace(stored, fields.encode().ljust(len(stored))))
    with pytest.raises(CaseReadError, match=r"rs.dcm: its contours cannot be read"):
        read_boxes(path, VOLUME, "ct")


@settings(max_examples=150)
@given(patches=st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6))
def test_a_structure_set_of_changed_bytes_is_boxes_or_a_sentence(
    patches: list[tuple[int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rois = {"liver": [contour(points) for points in outlines(LIVER)], "b": [contour(outlines(LIVER)[1])]}
    path = save(tmp_path_factory.mktemp("rs"), structure_set(rois, series="1.2.3"))
    raw = bytearray(path.read_bytes())
    for place, patch in patches:
        start = 132 + place % (len(raw) - 132)
        raw[start : start + len(patch)] = patch
    path.write_bytes(raw)
    try:
        assert np.isfinite(read_boxes(path, VOLUME, "ct").corners).all()
    except CaseReadError as error:
        assert str(error).startswith("rs.dcm: ")
        assert str(error).isprintable()


def test_a_structure_set_belongs_to_one_image(tmp_path: Path) -> None:
    path = save(tmp_path, structure_set({}))
    with pytest.raises(UsageError, match="has boxes of one image, and there are 2: an RTSTRUCT belongs to one image"):
        box_source(path, None, [], [Path("a"), Path("b")])


def test_a_structure_set_of_a_planning_system_is_read(tmp_path: Path) -> None:
    """Pydicom's own example, which lacks the part before its data set."""
    real = dcmread(str(get_testdata_file("rtstruct.dcm", download=False)), force=True)
    real.file_meta = FileMetaDataset()
    real.file_meta.MediaStorageSOPClassUID = real.SOPClassUID
    real.file_meta.MediaStorageSOPInstanceUID = real.SOPInstanceUID
    real.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    real.preamble = b"\0" * 128
    names = [str(roi.ROIName) for roi in real.StructureSetROISequence]
    points = [
        np.array(one.ContourData, float).reshape(-1, 3)
        for of_roi in real.ROIContourSequence
        for one in of_roi.get("ContourSequence", ())
        if one.ContourGeometricType != "POINT"
    ]
    low, high = np.min([one.min(0) for one in points], 0), np.max([one.max(0) for one in points], 0)
    affine = affine_of(np.eye(3), (1, 1, 1), tuple(low - 5))
    sides = np.ceil(high - low + 10).astype(int)[::-1].tolist()
    found = read_boxes(save(tmp_path, real), Scan("ct", np.zeros(sides, np.uint8), True, affine), "ct")
    assert set(found.names) <= set(names)
    np.testing.assert_allclose(found.corners[:, :3].min(0)[2], 5, atol=1e-6)
    np.testing.assert_allclose(found.corners[:, 3:].max(0)[2], high[2] - low[2] + 5, atol=1e-6)


def test_rois_of_another_frame_of_reference_are_left_out_and_flat_ties_are_slices(tmp_path: Path) -> None:
    scan = read_dicom(write_series(tmp_path / "ct", np.zeros((12, 40, 60), np.int16), ANGLED))
    own = str(scan.source.headers[0].FrameOfReferenceUID)
    made = structure_set({name: [contour(points) for points in outlines(LIVER)] for name in ("here", "there")}, own)
    made.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.3.4"
    found = read_boxes(save(tmp_path, made), scan, "ct")
    assert found.names == ["here"]
    assert found.warnings == ("rs.dcm: ROIs of another frame of reference were left out (there)",)
