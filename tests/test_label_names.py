"""Names of labels in their files: 3D Slicer's segmentations, ITK-SNAP's descriptions; and back as names of boxes."""

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.drawing.label_colours import label_colours
from repmedsam_infer.errors import CaseWriteError
from repmedsam_infer.formats import read_scan, write_labels
from repmedsam_infer.formats.boxes.file import boxes_from_labels
from repmedsam_infer.formats.endings import OUTPUTS, ending_of, name_of, own_ending
from repmedsam_infer.formats.names.itksnap import description_path, write_label_description
from repmedsam_infer.formats.names.slicer import MOST_SEGMENTS, names_in
from repmedsam_infer.formats.scan import Scan
from tests.dicom_files import affine_of, rotated

SCAN = Scan("ct", np.zeros((5, 6, 8)), True, affine_of(rotated(), (0.7, 0.9, 2.5), (-103.25, 40.5, -512.125)))
NAMES = ["Leber ü", 'a := "b"\nc\x1b', ""]
# A line as ITK-SNAP reads it: numbers parted by blanks, then a name in quotes.
LINE = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([\d.]+)\s+([01])\s+([01])\s+"([^"]+)"')


def labels() -> np.ndarray:
    drawn = np.zeros((5, 6, 8), np.uint8)
    drawn[1:3, 2:5, 3:7] = 1
    drawn[4, 0, 0] = 3
    return drawn


def fields_of(path: Path) -> dict[str, str]:
    image = SimpleITK.ReadImage(str(path))
    return {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("Segment")}


@pytest.mark.parametrize("ending", [".nrrd", ".seg.nrrd"])
def test_nrrd_has_what_slicer_needs_to_load_segments(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"labels{ending}"
    write_labels(path, labels(), SCAN, NAMES)
    fields = fields_of(path)
    assert [fields[f"Segment{i}_Name"] for i in range(3)] == ["Leber ü", 'a := "b"_c_', "label 3"]
    assert [fields[f"Segment{i}_LabelValue"] for i in range(3)] == ["1", "2", "3"]
    assert {fields[f"Segment{i}_Extent"] for i in range(3)} == {"0 7 0 5 0 4"}
    assert {fields[f"Segment{i}_Layer"] for i in range(3)} == {"0"}
    assert len({fields[f"Segment{i}_ID"] for i in range(3)}) == 3
    colours = [[float(value) for value in fields[f"Segment{i}_Color"].split()] for i in range(3)]
    np.testing.assert_allclose(colours, label_colours(3)[1:] / 255, atol=1e-5)
    assert fields["Segment0_Tags"].startswith("TerminologyEntry:")
    assert fields["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert fields["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    assert fields["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(read_scan(path).voxels, labels())


def test_seg_nrrd_is_an_ending_of_its_own() -> None:
    assert ".seg.nrrd" in OUTPUTS
    assert (ending_of(Path("a.SEG.nrrd")), name_of(Path("ct.seg.nrrd"))) == (".seg.nrrd", "ct")
    assert own_ending(Path("ct.seg.nrrd")) == ".nrrd"


def test_seg_nrrd_is_a_segmentation_without_names_and_of_a_picture(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.seg.nrrd", labels(), SCAN)
    assert [fields_of(tmp_path / "a.seg.nrrd")[f"Segment{i}_Name"] for i in range(3)] == [
        "label 1",
        "label 2",
        "label 3",
    ]
    write_labels(tmp_path / "b.seg.nrrd", labels()[1], Scan("photo", np.zeros((6, 8)), False), ["spot"])
    assert fields_of(tmp_path / "b.seg.nrrd")["Segment0_Name"] == "spot"
    np.testing.assert_array_equal(read_scan(tmp_path / "b.seg.nrrd").voxels, labels()[1:2])
    write_labels(tmp_path / "c.nrrd", labels(), SCAN)
    assert fields_of(tmp_path / "c.nrrd") == {}


def test_names_of_slicer_become_names_of_boxes(tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.seg.nrrd", labels(), SCAN, ["liver", "nowhere", ""])
    assert boxes_from_labels(tmp_path / "labels.seg.nrrd", SCAN).names == ["liver", "label 3"]
    image = SimpleITK.ReadImage(str(tmp_path / "labels.seg.nrrd"))
    image.SetMetaData("Segment0_Name", "x" * 300)
    image.SetMetaData("Segment2_LabelValue", "three")
    SimpleITK.WriteImage(image, str(tmp_path / "odd.nrrd"))
    assert boxes_from_labels(tmp_path / "odd.nrrd", SCAN).names == ["label 1", "label 3"]


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha"])
def test_names_lie_beside_nifti_and_metaimage_for_itk_snap(ending: str, tmp_path: Path) -> None:
    write_labels(tmp_path / f"ct{ending}", labels(), SCAN, NAMES)
    text = (tmp_path / "ct.labels.txt").read_text("utf-8")
    lines = [LINE.fullmatch(line) for line in text.splitlines() if not line.startswith("#")]
    assert all(lines)
    found = [line.groups() for line in lines if line]
    assert [int(one[0]) for one in found] == [0, 1, 2, 3]
    assert [one[7] for one in found] == ["Clear Label", "Leber ü", "a := 'b'_c_", "label 3"]
    assert [[int(value) for value in one[1:4]] for one in found] == label_colours(3).tolist()
    assert {one[4:7] for one in found[1:]} == {("1", "1", "1")}


@given(names=st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_name_makes_lines_that_itk_snap_reads(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("names") / "ct.labels.txt"
    write_label_description(path, names)
    lines = path.read_bytes().decode().split("\n")
    assert lines.pop() == ""
    assert sum(not line.startswith("#") for line in lines) == len(names) + 1
    assert all(LINE.fullmatch(line) for line in lines if not line.startswith("#"))


def test_names_are_written_only_where_the_file_cannot_hold_them(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.nii.gz", labels(), SCAN)
    write_labels(tmp_path / "b.nii.gz", labels(), SCAN, [])
    write_labels(tmp_path / "c.npz", labels(), SCAN, NAMES)
    assert not list(tmp_path.glob("*.txt"))
    many = [f"object {i}" for i in range(1, MOST_SEGMENTS + 2)]
    write_labels(tmp_path / "d.nrrd", labels(), SCAN, many)  # ITK would take minutes for tens of thousands
    assert "Segment0_Name" not in fields_of(tmp_path / "d.nrrd")
    assert len((tmp_path / "d.labels.txt").read_text().splitlines()) == len(many) + 3


def test_names_are_whole_or_not_there(tmp_path: Path) -> None:
    path = description_path(tmp_path / "ct.seg.nrrd")
    assert path.name == "ct.labels.txt"
    path.mkdir()
    with pytest.raises(CaseWriteError, match=r"ct.labels.txt: the names of its labels could not be written"):
        write_label_description(path, ["a"])
    assert list(tmp_path.iterdir()) == [path]


def test_a_number_of_a_label_that_no_label_has_names_nothing() -> None:
    assert names_in({"Segment0_LabelValue": "9" * 5000, "Segment0_Name": "x"}) == {}
