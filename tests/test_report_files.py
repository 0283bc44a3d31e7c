"""The page of a run of `repmedsam segment`: images where they are, slices turned as for reading, sides by letters."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.batch.report import CaseReport, ObjectReport, Run, read_run
from repmedsam_infer.drawing.anatomy import ends_of, letters, places_of_letters
from repmedsam_infer.report_page.make import find_scoring, make_report
from repmedsam_infer.report_page.opened import Folders, Opened
from repmedsam_infer.report_page.results import Result, collect
from repmedsam_infer.report_page.scans import open_files
from tests.conftest import Repmedsam, good_image
from tests.scans import affines

nib = pytest.importorskip("nibabel")

F64 = NDArray[np.float64]
RAS_TO_LPS = np.diag([-1.0, -1, 1, 1])
BOX = [1, 2, 1, 4, 5, 3]  # x y z, of the labels below


def labels_of() -> NDArray[np.uint8]:
    """(5, 8, 7), z y x, with one object."""
    labels = np.zeros((5, 8, 7), np.uint8)
    labels[1:4, 2:6, 1:5] = 1
    return labels


def write_nifti(path: Path, voxels: NDArray[Any], affine: F64, *, stated: bool = True) -> Path:
    """(z, y, x) voxels at an affine in RAS."""
    image = nib.Nifti1Image(voxels.T, affine)
    if not stated:
        image.set_sform(None, 0)
        image.set_qform(None, 0)
    nib.save(image, path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A volume and a picture that were segmented, with ground truth."""
    for name in ("images", "out", "gts"):
        (tmp_path / name).mkdir()
    voxels, affine = np.arange(280, dtype=np.int16).reshape(5, 8, 7), np.diag([-1.0, 1, 3, 1])
    volume = write_nifti(tmp_path / "images" / "ct.nii.gz", voxels, affine)
    write_nifti(tmp_path / "out" / "ct.nii.gz", labels_of(), affine)
    write_nifti(tmp_path / "gts" / "ct.nii.gz", labels_of() * 9, affine)
    cv2.imwrite(str(tmp_path / "images" / "skin.png"), good_image())
    cv2.imwrite(str(tmp_path / "out" / "skin.png"), good_image()[..., 0] // 128)
    cases = [
        case("ct.nii.gz", volume, objects=[{"label": 1, "name": "label 9", "box": BOX, "confidence": 0.9}]),
        case("skin.png", tmp_path / "images" / "skin.png", objects=[]),
    ]
    (tmp_path / "out" / "report.json").write_text(json.dumps({"cases": cases}))
    return Folders(tmp_path / "out", None, tmp_path / "gts")


def case(name: str, path: Path, **content: Any) -> dict[str, Any]:
    return {"case": name, "status": "ok", "seconds": 1.0, "input": str(path), "output": name, **content}


def shown(folders: Folders, change: Callable[[CaseReport], None] = lambda _: None) -> dict[str, tuple[Result, Any]]:
    """Each case's result, and what was drawn of it."""
    run, drawn = read_run(folders.segs), {}

    def draw(opened: Opened) -> None:
        drawn[opened.case.name] = opened

    for report in run.cases.values():
        change(report)
    results = list(collect(sorted(run.cases), Run({}, run.cases), folders, find_scoring()[0], draw))
    return {result.report.case: (result, drawn.get(result.report.case)) for result in results}


def test_a_run_of_segment_has_a_page(folders: Folders, tmp_path: Path, repmedsam: Repmedsam) -> None:
    done = repmedsam("report", "-s", folders.segs, "-g", folders.gts, "-o", tmp_path / "page.html")
    assert done.code == 0, done.err
    html = (tmp_path / "page.html").read_text()
    assert "label 9" in html
    assert "ground truth" in html
    assert "R L A P S I" in html
    assert html.count('class="slice"') == 5


def test_boxes_names_and_scores_lie_where_the_files_say(folders: Folders) -> None:
    result, opened = shown(folders)["ct.nii.gz"]
    assert result.report.error is None
    (one,) = result.objects
    assert (one.name, one.confidence, one.dsc) == ("label 9", 0.9, 1.0)  # label 9 of the ground truth is label 1 here
    assert one.measure is not None
    assert one.measure.size == pytest.approx(48 * 3)
    low, high = opened.case.boxes.corners[0][:3], opened.case.boxes.corners[0][3:]
    where = np.argwhere(opened.segs)[:, ::-1]
    np.testing.assert_array_equal([low, high], [where.min(0), where.max(0)])
    assert opened.extras.ends == (("I", "S"), ("A", "P"), ("R", "L"))


@given(affine=affines())
def test_letters_are_those_of_the_affine_in_any_orientation(
    affine: F64, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("letters")
    # Each voxel's value is how far to the left, to the back and to the head it lies: what letters have to agree with.
    indices = np.stack([*np.meshgrid(range(7), range(8), range(5), indexing="ij"), np.ones((7, 8, 5))], -1)
    places = (indices @ (RAS_TO_LPS @ affine).T)[..., :3]
    write_nifti(folder / "l.nii", labels_of(), affine)
    for axis, (first, last) in enumerate((("R", "L"), ("A", "P"), ("I", "S"))):
        voxels = np.round((places[..., axis] - places[..., axis].min()) * 100 + 1).astype(np.int32)
        image = write_nifti(folder / "i.nii", voxels.T, affine)
        opened = open_files(CaseReport("i.nii", "ok", input=str(image), output="l.nii"), Folders(folder))
        assert opened.extras.ends is not None
        for k, (low, high) in enumerate(opened.extras.ends):
            grey = np.moveaxis(opened.case.imgs.astype(int), k, 0)
            grows = grey[-1].mean() - grey[0].mean()
            if first in low or first in high:
                assert (grows > 0) == (last in high)


def test_there_are_no_letters_where_a_file_does_not_state_its_orientation(tmp_path: Path) -> None:
    voxels = np.arange(280, dtype=np.int16).reshape(5, 8, 7)
    image = write_nifti(tmp_path / "i.nii", voxels, np.eye(4), stated=False)
    write_nifti(tmp_path / "l.nii", labels_of(), np.eye(4), stated=False)
    opened = open_files(CaseReport("i.nii", "ok", input=str(image), output="l.nii"), Folders(tmp_path))
    assert opened.extras.ends is None
    sitk = pytest.importorskip("SimpleITK")
    for name in ("i.nrrd", "l.nrrd"):
        sitk.WriteImage(sitk.GetImageFromArray(labels_of()), str(tmp_path / name))
    report = CaseReport("i.nrrd", "ok", input=str(tmp_path / "i.nrrd"), output="l.nrrd")
    assert open_files(report, Folders(tmp_path)).extras.ends is None


def test_without_its_image_masks_are_shown_and_measured(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "images" / "ct.nii.gz").unlink()
    result, opened = shown(folders)["ct.nii.gz"]
    assert result.report.error is None
    assert any("ct.nii.gz: the file is not there" in warning for warning in result.report.warnings)
    assert result.objects[0].measure is not None
    assert opened.extras.ends == (("I", "S"), ("A", "P"), ("R", "L"))
    assert not opened.case.imgs.any()
    overlay = tmp_path / "overlay.png"
    cv2.imwrite(str(overlay), np.full((9, 9, 3), (10, 20, 30), np.uint8))

    def draw_over(report: CaseReport) -> None:
        report.overlay = str(overlay)

    assert shown(folders, draw_over)["ct.nii.gz"][1].drawn[0, 0].tolist() == [30, 20, 10]


def test_without_its_result_a_case_is_listed_and_others_are_shown(folders: Folders, tmp_path: Path) -> None:
    (folders.segs / "ct.nii.gz").unlink()
    assert make_report(folders, tmp_path / "page.html") == ["ct.nii.gz: the file is not there"]
    assert "skin.png" in (tmp_path / "page.html").read_text()


def test_with_a_folder_of_images_no_other_is_read(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    result, opened = shown(Folders(folders.segs, tmp_path / "elsewhere"))["ct.nii.gz"]
    assert any("the file is not there" in warning for warning in result.report.warnings)
    assert not opened.case.imgs.any()
    opened = shown(Folders(folders.segs, tmp_path / "images"))["ct.nii.gz"][1]
    assert opened.case.imgs.any()


@pytest.mark.parametrize("output", ["../gts/ct.nii.gz", "/etc/passwd", "..", "a\0b", "\ud800"])
def test_results_are_read_from_their_folder_alone(output: str, folders: Folders) -> None:
    def change(report: CaseReport) -> None:
        report.output = output

    result, opened = shown(folders, change)["ct.nii.gz"]
    assert opened is None
    assert "is not the name of a file" in (result.report.error or "")


@given(
    objects=st.lists(
        st.builds(
            ObjectReport,
            st.integers(),
            st.text(st.characters(), max_size=9),
            st.lists(st.floats() | st.integers(-9, 9).map(float), max_size=6) | st.just([float(x) for x in BOX]),
            st.none() | st.floats(0, 1e308),
        ),
        max_size=3,
    )
)
def test_any_objects_of_report_json_have_a_page(
    objects: list[ObjectReport], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("objects")
    path = write_nifti(folder / "i.nii", labels_of(), np.diag([-1.0, -1, 3, 1]))
    report = CaseReport("i.nii", "ok", objects=objects, input=str(path), output="i.nii")
    folders = Folders(folder, None, folder)
    (result,) = collect(["i.nii"], Run({}, {"i.nii": report}), folders, None, lambda _: None)
    assert result.report.error is None


def test_letters_point_where_an_axis_runs() -> None:
    assert ends_of(np.eye(3)) == (("R", "L"), ("A", "P"), ("I", "S"))
    assert letters(np.array([0.7, -0.7, 0.0])) == "LA"
    assert letters(np.array([0.1, 0.0, -9.0])) == "I"
    assert places_of_letters((60, 400), ("R", "L"), ("A", "P")) == []
    placed = dict(places_of_letters((400, 300), ("R", "L"), ("A", "P")))
    assert placed["R"][0] < 20
    assert placed["L"][2] > 380
    assert placed["A"][1] < 20
    assert placed["P"][3] > 280


def test_results_that_are_dicom_segmentations_are_shown_on_their_images(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    from repmedsam_infer.formats.dicom.seg import write_seg
    from repmedsam_infer.formats.dicom.series import read_dicom
    from tests.dicom_files import affine_of, rotated, write_series

    affine = affine_of(rotated(3), (0.7, 0.9, 2.5), (-103.25, 40.5, -512.125))
    write_series(tmp_path / "series", np.arange(280, dtype=np.int16).reshape(5, 8, 7), affine)
    scan = read_dicom(tmp_path / "series")
    labels = np.zeros(scan.shape, np.uint8)
    labels[1:4, 2:6, 1:5], labels[4, 7, 6] = 1, 3  # 2 is empty, and no segment
    write_seg(tmp_path / "series.dcm", labels, scan, ["liver", "spleen", "spleen"])
    objects = [ObjectReport(i, name, [], None) for i, name in enumerate(("liver", "kidney", "spleen"), 1)]
    report = CaseReport("series", "ok", objects=objects, input=str(tmp_path / "series"), output="series.dcm")
    opened = open_files(report, Folders(tmp_path))
    assert opened.extras.ends is not None
    assert {label: int((opened.segs == label).sum()) for label in (1, 2, 3)} == {1: 48, 2: 0, 3: 1}
    report.input = None
    (result,) = collect(["series"], Run({}, {"series": report}), Folders(tmp_path), None, lambda _: None)
    assert "which lies on its images alone" in (result.report.error or "")
