"""Real files in, label maps in the same place out: by the command line, with the network and with boxes filled."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.case import Case
from repmedsam_infer.commands.files import segment as segment_files
from repmedsam_infer.commands.files.file_job import FileInput, FileJob
from repmedsam_infer.commands.files.reading import Reading
from repmedsam_infer.drawing.anatomy import LETTER_COLOR
from repmedsam_infer.engines.pool import EnginePool
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.formats.boxes.source import BoxSource
from repmedsam_infer.formats.boxes.typed import TypedBox
from repmedsam_infer.segmentation.segmented import Segmented
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.conftest import Repmedsam, good_image
from tests.scans import SIGNED_PERMUTATIONS, affines, labels_in

nib = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")

F64 = NDArray[np.float64]


class NoNetwork:
    """In a Segmenter's place: all of every box, smaller labels on top."""

    pool = EnginePool.holding({})

    def __init__(self, **_: object) -> None:
        self.weights = Weights(Path(), {})

    def segment_case(self, case: Case, _: Stopwatch) -> Segmented:
        segs = case.empty_segmentation()
        corners = np.rint(case.boxes.corners).astype(int)
        for low, high, label in list(zip(*np.split(corners, 2, axis=1), case.boxes.labels, strict=True))[::-1]:
            segs[tuple(slice(a, b + 1) for a, b in zip(low[::-1], high[::-1], strict=True))] = label
        return Segmented(segs, np.full(len(corners), np.nan, np.float32), case.boxes.corners)


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_files, "Segmenter", NoNetwork)


def write_nifti(path: Path, voxels: NDArray[Any], affine: F64 | None = None) -> Path:
    """(z, y, x) voxels where an affine in RAS says."""
    nib.save(nib.Nifti1Image(voxels.T, np.eye(4) if affine is None else affine), path)
    return path


def read_nifti(path: Path) -> NDArray[Any]:
    return np.asanyarray(nib.load(path).dataobj).T


def ct_phantom() -> tuple[NDArray[np.int16], NDArray[np.bool_], list[int]]:
    """(z, y, x) HU: a body with two organs of unlike size; one of them as a mask, and its box."""
    z, y, x = np.mgrid[:10, :96, :96]
    voxels = np.full(z.shape, -1000, np.int16)
    voxels[np.hypot(x - 48, y - 48) < 44] = -60
    voxels[np.hypot(x - 66, y - 52) < 9] = 200
    organ = ((x - 34) / 14) ** 2 + ((y - 44) / 18) ** 2 + ((z - 4.5) / 4.6) ** 2 < 1
    voxels[organ] = 110
    voxels += np.random.default_rng(0).normal(0, 12, z.shape).astype(np.int16)
    where = np.argwhere(organ)
    return voxels, organ, [*where.min(0)[::-1].tolist(), *where.max(0)[::-1].tolist()]


def test_a_ct_phantom_through_the_network_lands_on_itself(tmp_path: Path, repmedsam: Repmedsam) -> None:
    voxels, organ, box = ct_phantom()
    ct = write_nifti(tmp_path / "ct.nii.gz", voxels, np.diag([-0.8, -0.8, 5, 1]))
    (tmp_path / "boxes.json").write_text(json.dumps({"cases": {"ct": [{"box": box, "name": "organ"}]}}))
    result = repmedsam(
        *("segment", ct, "--boxes", tmp_path / "boxes.json", "-o", tmp_path / "labels.nii.gz", "--modality", "ct"),
        *("--window", "abdomen", "--overlay", tmp_path / "pictures"),
    )
    assert result.code == 0, result.err
    mask = read_nifti(tmp_path / "labels.nii.gz") == 1
    assert (mask & organ).sum() / (mask | organ).sum() > 0.8
    assert (nib.load(tmp_path / "labels.nii.gz").affine == nib.load(ct).affine).all()
    drawn = cv2.imread(str(tmp_path / "pictures" / "labels.png"))
    assert drawn is not None
    assert "1 of 1 boxes" in result.out


def test_the_network_gets_the_same_slices_however_the_file_is_stored(tmp_path: Path, repmedsam: Repmedsam) -> None:
    voxels, _, box = ct_phantom()
    affine = np.diag([-0.8, -0.8, 5, 1])
    image = nib.Nifti1Image(voxels.T, affine)
    truth = nib.Nifti1Image(np.zeros(voxels.T.shape, np.uint8), affine)
    x0, y0, z0, x1, y1, z1 = box
    np.asanyarray(truth.dataobj)[x0 : x1 + 1, y0 : y1 + 1, z0 : z1 + 1] = 1
    codes = ["LPS", "RAS", "SAR", "PIL"]
    for folder, of_volume in (("images", image), ("boxes", truth)):
        (tmp_path / folder).mkdir()
        for code in codes:
            turn = nib.orientations.ornt_transform(
                nib.io_orientation(affine), nib.orientations.axcodes2ornt(tuple(code))
            )
            nib.save(of_volume.as_reoriented(turn), tmp_path / folder / f"{code}.nii.gz")
    result = repmedsam(
        *("segment", *(tmp_path / "images" / f"{code}.nii.gz" for code in codes), "-o", tmp_path / "out"),
        *("--boxes-from", tmp_path / "boxes", "--window", "40,400"),
    )
    assert result.code == 0, result.err
    masks = [nib.as_closest_canonical(nib.load(tmp_path / "out" / f"{code}.nii.gz")).get_fdata() for code in codes]
    assert masks[0].any()
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["counts"] == {"ok": 4, "failed": 0, "skipped": 0}
    assert {"read", "prepare", "encode", "decode", "write"} <= set(report["cases"][0]["stages"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines(), data=st.data(), ending=st.sampled_from([".nii", ".nrrd", ".mha", ".npz"]))
@pytest.mark.usefixtures("filled")
def test_a_box_comes_out_on_the_voxels_it_was_given_on(
    affine: F64, data: st.DataObject, ending: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("box")
    shape = (4, 5, 6)
    low = [data.draw(st.integers(0, side - 2)) for side in shape[::-1]]
    high = [data.draw(st.integers(start + 1, side - 1)) for start, side in zip(low, shape[::-1], strict=True)]
    path = write_nifti(folder / "i.nii", np.arange(120, dtype=np.int16).reshape(shape), affine)
    source = BoxSource(typed=(TypedBox(np.array([*low, *high], float)),))
    job = FileJob([FileInput(path, source, Reading((60.0, 120.0)))], folder / f"l{ending}")
    assert segment_files.segment_files(job) == 0
    expected = np.zeros(shape, np.uint8)
    expected[low[2] : high[2] + 1, low[1] : high[1] + 1, low[0] : high[0] + 1] = 1
    if ending == ".npz":
        labels = np.load(folder / "l.npz")["segs"]
    elif ending == ".nii":
        labels = read_nifti(folder / "l.nii")
    else:
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"l{ending}")))
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS[::7], ids=str)
def test_boxes_in_mm_and_in_voxels_are_one(axes: F64, tmp_path: Path, repmedsam: Repmedsam) -> None:
    affine = np.eye(4)
    affine[:3, :3] = axes * [2, 3, 4]
    affine[:3, 3] = 10, 20, 30
    path = write_nifti(tmp_path / "i.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6), affine)
    low, high = np.array([1, 1, 0]), np.array([4, 2, 3])
    corners = np.stack([low - 0.5, high + 0.5])
    lps = (np.diag([-1, -1, 1, 1]) @ affine @ np.c_[corners, [1, 1]].T)[:3].T
    mm = [*lps.min(0).tolist(), *lps.max(0).tolist()]
    (tmp_path / "mm.json").write_text(json.dumps({"space": "mm", "boxes": [mm]}))
    typed = ",".join(map(str, [*low.tolist(), *high.tolist()]))
    assert repmedsam("segment", path, "--box", typed, "-o", tmp_path / "a.nii").code == 0
    assert repmedsam("segment", path, "--boxes", tmp_path / "mm.json", "-o", tmp_path / "b.nii").code == 0
    assert (read_nifti(tmp_path / "a.nii") == 1).sum() == np.prod(high - low + 1)
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii"), read_nifti(tmp_path / "b.nii"))


@pytest.mark.usefixtures("filled")
def test_one_slice_is_a_picture_and_takes_a_pictures_box(tmp_path: Path, repmedsam: Repmedsam) -> None:
    flat = write_nifti(tmp_path / "flat.nii", np.arange(30, dtype=np.int16).reshape(1, 5, 6), np.diag([-1, 1, 3, 1]))
    assert repmedsam("segment", flat, "--box", "1,2,4,3", "-o", tmp_path / "l.nii").code == 0
    expected = np.zeros((1, 5, 6))
    expected[0, 2:4, 1:5] = 1
    np.testing.assert_array_equal(read_nifti(tmp_path / "l.nii"), expected)
    assert repmedsam("segment", flat, "--box", "1,2,0,4,3,0", "-o", tmp_path / "l.png").code == 0
    np.testing.assert_array_equal(labels_in(tmp_path / "l.png"), expected[0])


@pytest.mark.usefixtures("filled")
def test_kinds_in_their_own_kind_and_one_bad_input_stops_no_other(tmp_path: Path, repmedsam: Repmedsam) -> None:
    cv2.imwrite(str(tmp_path / "photo.jpg"), good_image())
    nifti = write_nifti(tmp_path / "mr.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(120, dtype=np.int16).reshape(4, 5, 6)), str(tmp_path / "v.mha"))
    (tmp_path / "broken.nii.gz").write_bytes(b"nonsense")
    (tmp_path / "boxes.csv").write_text(
        "case,x_min,y_min,z_min,x_max,y_max,z_max,name\n"
        "photo.jpg,1,1,,40,30,,lesion\nmr.nii,0,0,0,3,3,3,a\nmr.nii,1,1,1,2,2,2,b\nv,0,0,0,2,2,2,c\nlost,0,0,0,1,1,1,d\n"
    )
    result = repmedsam(
        *("segment", tmp_path / "broken.nii.gz", tmp_path / "photo.jpg", nifti, tmp_path / "v.mha"),
        *("--boxes", tmp_path / "boxes.csv", "-o", tmp_path / "out"),
    )
    assert result.code == 1
    names = {"photo.png", "mr.nii.gz", "v.mha", "report.json", "efficiency.csv", "labels.csv"}
    names |= {"mr.labels.txt", "v.labels.txt"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert "error: broken.nii.gz: is not a NIfTI file" in result.err
    assert "became 0 to 255" not in result.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["counts"] == {"ok": 3, "failed": 1, "skipped": 0}
    assert cv2.imread(str(tmp_path / "out" / "photo.png"), cv2.IMREAD_UNCHANGED) is not None
    with (tmp_path / "out" / "labels.csv").open() as file:
        rows = [[row[key] for key in ("case", "name", "voxels", "warnings")] for row in csv.DictReader(file)]
    assert rows[:2] == [["photo.jpg", "lesion", "1200", ""], ["mr.nii", "a", "64", ""]]
    assert rows[2:] == [["mr.nii", "b", "0", "nothing is marked"], ["v.mha", "c", "27", ""]]  # a lies on top of b


@pytest.mark.usefixtures("filled")
def test_several_at_a_time_and_resumed_is_what_one_after_another_gives(tmp_path: Path, repmedsam: Repmedsam) -> None:
    images = [write_nifti(tmp_path / f"{i}.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6) + i) for i in range(5)]
    boxes = {"cases": {f"{i}": [{"box": [0, 0, 0, i, 3, 3], "name": f"organ {i}"}] for i in range(5)}}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    arguments = ("segment", *images, "--boxes", tmp_path / "boxes.json", "--threads", 2)
    assert repmedsam(*arguments, "-o", tmp_path / "one").code == 0
    assert repmedsam(*arguments, "-o", tmp_path / "several", "--jobs", 2).code == 0
    table = (tmp_path / "one" / "labels.csv").read_text()
    assert (tmp_path / "several" / "labels.csv").read_text() == table

    assert repmedsam(*arguments, "-o", tmp_path / "several").code == 2
    (tmp_path / "several" / "3.nii.gz").unlink()
    kept = (tmp_path / "several" / "1.nii.gz").stat().st_mtime_ns
    resumed = repmedsam(*arguments, "-o", tmp_path / "several", "--resume", "--overlay", tmp_path / "pictures")
    assert resumed.code == 0
    assert "skipped" not in resumed.out  # none has an overlay yet
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {f"{i}.png" for i in range(5)}
    assert (tmp_path / "several" / "1.nii.gz").stat().st_mtime_ns > kept
    (tmp_path / "several" / "3.nii.gz").unlink()
    resumed = repmedsam(*arguments, "-o", tmp_path / "several", "--resume", "--overlay", tmp_path / "pictures")
    assert resumed.out.count("skipped") == 4
    assert (tmp_path / "several" / "labels.csv").read_text() == table
    report = json.loads((tmp_path / "several" / "report.json").read_text())
    assert report["counts"] == {"ok": 1, "failed": 0, "skipped": 4}
    for i, case in enumerate(report["cases"]):
        assert case["input"] == str(images[i])
        assert case["output"] == f"{i}.nii.gz"
        assert case["overlay"] == str(tmp_path / "pictures" / f"{i}.png")


@pytest.mark.usefixtures("filled")
def test_the_table_beside_one_file_has_millilitres_and_is_replaced_by_its_like_alone(
    tmp_path: Path, repmedsam: Repmedsam
) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6), np.diag([2, 1, 5, 1]))
    arguments = ("segment", image, "--box", "1,2,0,4,3,3", "-o")
    assert repmedsam(*arguments, tmp_path / "l.nii.gz").code == 0
    with (tmp_path / "l.labels.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["voxels"], row["volume_ml"], row["area_mm2"]) == ("32", "0.32", "")
    assert [row[f"{axis}_{end}"] for end in ("min", "max") for axis in "xyz"] == ["1", "2", "0", "4", "3", "3"]
    assert repmedsam(*arguments, tmp_path / "l.nrrd").code == 0  # its table takes the other's place
    (tmp_path / "m.labels.csv").write_text("somebody's notes")
    refused = repmedsam(*arguments, tmp_path / "m.nrrd")
    assert refused.code == 2
    assert "m.labels.csv is already there" in refused.err
    assert "--resume is for a folder" in repmedsam(*arguments, tmp_path / "n.nrrd", "--resume").err


@pytest.mark.usefixtures("filled")
def test_a_box_on_one_slice_is_on_that_slice_of_the_file(tmp_path: Path, repmedsam: Repmedsam) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6), np.diag([1, 1, -3, 1]))
    assert repmedsam("segment", image, "--box", "1,2,4,3@2", "-o", tmp_path / "out").code == 0
    expected = np.zeros((4, 5, 6), np.uint8)
    expected[2, 2:4, 1:5] = 1
    np.testing.assert_array_equal(read_nifti(tmp_path / "out" / "i.nii.gz"), expected)
    (case,) = json.loads((tmp_path / "out" / "report.json").read_text())["cases"]
    assert case["objects"][0]["box"] == [1, 2, 2, 4, 3, 2]

    sagittal = write_nifti(tmp_path / "s.nii", np.zeros((4, 5, 6), np.int16) + 7, np.diag([5, 1, 1, 1]))
    refused = repmedsam("segment", sagittal, "--box", "1,2,4,3@2", "-o", tmp_path / "l.nii")
    assert refused.code == 1
    assert "box 1 is on one z, and slices lie along x in this file; give all six numbers" in refused.err
    to_npz = repmedsam("convert", image, "--box", "1,2,4,3@2", "-o", tmp_path / "cases")
    assert to_npz.code == 1
    assert "box 1 is on one slice, and a case has boxes of six numbers alone" in to_npz.err
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), good_image())
    assert (
        "is a picture, and --box names a slice; leave out @2"
        in repmedsam("segment", picture, "--box", "1,2,4,3@2", "-o", tmp_path / "l.png").err
    )


@pytest.mark.usefixtures("filled")
def test_numbers_of_labels_with_gaps_are_a_warning(tmp_path: Path, repmedsam: Repmedsam) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[0, :2, :2], labels[1:3, 3:, 3:] = 2, 7
    source = write_nifti(tmp_path / "gt.nii", labels)
    result = repmedsam("segment", image, "--boxes-from", source, "-o", tmp_path / "l.nii")
    assert "label 2 is 1 in the result, label 7 is 2" in result.err
    np.testing.assert_array_equal(read_nifti(tmp_path / "l.nii"), np.select([labels == 2, labels == 7], [1, 2]))


@pytest.mark.usefixtures("filled")
def test_what_cannot_be_done_is_one_sentence_and_leaves_no_file(tmp_path: Path, repmedsam: Repmedsam) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    out = tmp_path / "l.nii"
    for arguments, reason in [
        (("--box", "100,100,100,120,120,120"), "which reaches x 0 to 5, y 0 to 4, z 0 to 3 in pixel"),
        (("--box", "0,0,3,3"), "is a volume, and --box has 4 numbers"),
        (("--box", "0,0,3,3@9"), "which reaches x 0 to 5, y 0 to 4, z 0 to 3 in pixel"),
        (("--box", "0,0,0,3,3,3", "--window", "lung", "--modality", "MR"), "Hounsfield"),
    ]:
        result = repmedsam("segment", image, "-o", out, *arguments)
        assert result.code == 1, arguments
        assert reason in result.err
        assert "Traceback" not in result.err
        assert not out.exists()
    box = ("--box", "0,0,0,3,3,3")
    for name, reason in [("l.png", "PNG cannot hold"), ("l.dcm", "not read from DICOM")]:
        result = repmedsam("segment", image, "-o", tmp_path / name, *box)
        assert result.code == 1
        assert reason in result.err


def test_wrong_usage_is_exit_code_2(tmp_path: Path, repmedsam: Repmedsam) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    other = write_nifti(tmp_path / "j.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    (tmp_path / "there.nii").write_text("")
    (tmp_path / "l.labels.csv").write_text("x_min,y_min,z_min,x_max,y_max,z_max\n0,0,0,3,3,3\n")
    (tmp_path / "a").mkdir()
    twin = write_nifti(tmp_path / "a" / "i.nii.gz", np.zeros((4, 5, 6), np.int16))
    box, out = ("--box", "0,0,0,3,3,3"), tmp_path / "out"
    for arguments, reason in [
        ((image, "-o", out), "one of these is needed"),
        ((image, "-o", out, *box, "--boxes-from", other), "only one of these"),
        ((image, "-o", out, "--boxes", tmp_path / "nowhere.json"), "does not exist"),
        ((image, other, "-o", out, *box), "for one image"),
        ((image, other, "-o", out, "--boxes-from", other), "has to be a folder"),
        ((image, "-o", out, "--box", "1,2,3"), "is needed"),
        ((image, "-o", out, "--box", "1,2,3,4,5,6@2"), "x_min,y_min,x_max,y_max@z for a box on one slice"),
        ((image, "-o", out, "--box", "1,2,3,4@"), "is needed"),
        ((image, "-o", out, *box, "--propagation", "around"), "the propagation 'around' is unknown"),
        ((image, "-o", out, "--box", "5,0,0,3,3,3"), "ends before it begins"),
        ((image, "-o", out, *box, "--window", "liver"), "LEVEL,WIDTH"),
        ((image, "-o", tmp_path / "l.jpg", *box), "cannot be written as .jpg"),
        ((image, "-o", out, *box, "--format", "gif"), "cannot be written as .gif"),
        ((image, "-o", tmp_path / "l.nii", *box, "--format", ".nrrd"), "contradict"),
        ((image, "-o", tmp_path / "there.nii", *box), "already there"),
        ((image, "-o", image, *box, "--overwrite"), "which is read"),
        ((image, "-o", tmp_path / "l.nii", "--boxes", tmp_path / "l.labels.csv"), "which is read"),
        ((image, other, "-o", out, "--boxes-from", tmp_path, "--resume", "--overwrite"), "exclude"),
        ((image, twin, "-o", out, "--boxes-from", tmp_path), "two results"),
        ((image, other, "-o", tmp_path / "l.nii", "--boxes-from", tmp_path), "cannot go into one file"),
    ]:
        result = repmedsam("segment", *arguments)
        assert result.code == 2, (arguments, result.err)
        assert reason in result.err
        assert "Traceback" not in result.err


@pytest.mark.usefixtures("filled")
def test_a_missing_package_is_exit_code_3(
    tmp_path: Path, repmedsam: Repmedsam, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    result = repmedsam("segment", image, "--box", "0,0,0,3,3,3", "-o", tmp_path / "l.nii")
    assert result.code == 3
    assert "pip install 'repmedsam[files]'" in result.err


@pytest.mark.usefixtures("filled")
def test_descriptions_of_labels_that_a_person_made_are_not_replaced(tmp_path: Path, repmedsam: Repmedsam) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6), np.diag([2, 1, 5, 1]))
    theirs = tmp_path / "l.labels.txt"
    theirs.write_text("# mine\n")
    arguments = ("segment", image, "--box", "1,2,0,4,3,3", "-o", tmp_path / "l.nii.gz")
    refused = repmedsam(*arguments)
    assert (refused.code, theirs.read_text()) == (2, "# mine\n")
    assert "l.labels.txt is already there, and no file of ours" in refused.err
    assert repmedsam(*arguments, "--overwrite").code == 0
    assert '"object 1"' in theirs.read_text()


@pytest.mark.usefixtures("filled")
def test_links_that_lead_in_a_circle_are_replaced_like_files(tmp_path: Path, repmedsam: Repmedsam) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6), np.diag([2, 1, 5, 1]))
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("i.nii.gz", "i.labels.txt", "labels.csv", "report.json"):
        (folder / name).symlink_to(name)
    arguments = ("segment", image, "--box", "1,2,0,4,3,3", "-o", folder)
    assert repmedsam(*arguments).code == 2
    assert repmedsam(*arguments, "--overwrite").code == 0
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("code", [0, 1])
def test_overlays_have_the_patients_sides_where_the_file_says_them(
    code: int, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    voxels = np.arange(24_000, dtype=np.int16).reshape(20, 30, 40)
    image = nib.Nifti1Image(voxels.T, np.diag([2, 1, 5, 1]))
    image.set_sform(image.affine, code)
    image.set_qform(image.affine, code)
    nib.save(image, tmp_path / "i.nii")
    options = ("--box", "10,12,5,24,23,13", "-o", tmp_path / "l.nii", "--overlay", tmp_path / "pictures")
    assert repmedsam("segment", tmp_path / "i.nii", *options).code == 0
    drawn = np.asarray(cv2.imread(str(tmp_path / "pictures" / "l.png")))[..., ::-1]
    assert ((drawn == LETTER_COLOR).all(-1).sum() > 20) == (code > 0)


@pytest.mark.usefixtures("filled")
def test_overlays_replace_neither_inputs_nor_results_nor_each_other(tmp_path: Path, repmedsam: Repmedsam) -> None:
    picture = tmp_path / "mole.png"
    cv2.imwrite(str(picture), good_image())
    before = picture.read_bytes()
    box = ("--box", "18,8,42,32")
    for output, pictures in (("mole.nii.gz", "."), ("out", "out")):
        done = repmedsam("segment", picture, *box, "-o", tmp_path / output, "--overlay", tmp_path / pictures)
        assert done.code == 2, done
    assert picture.read_bytes() == before
    write_nifti(tmp_path / "mole.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6), np.diag([2, 1, 5, 1]))
    (tmp_path / "ov").mkdir()
    (tmp_path / "b.json").write_text('{"cases": {"mole.png": [[18, 8, 42, 32]], "mole.nii": [[1, 2, 0, 4, 3, 3]]}}')
    both = (picture, tmp_path / "mole.nii", "--boxes", tmp_path / "b.json")
    two = repmedsam("segment", *both, "-o", tmp_path / "o", "--overlay", tmp_path / "ov")
    assert (two.code, "ov/mole.png" in two.err) == (2, True)
    (tmp_path / "ov" / "mole.png").write_bytes(b"theirs")
    assert repmedsam("segment", picture, *box, "-o", tmp_path / "o", "--overlay", tmp_path / "ov").code == 2
    assert (tmp_path / "ov" / "mole.png").read_bytes() == b"theirs"


@pytest.mark.usefixtures("filled")
def test_a_table_that_no_run_wrote_is_not_replaced(tmp_path: Path, repmedsam: Repmedsam) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(120, dtype=np.int16).reshape(4, 5, 6), np.diag([2, 1, 5, 1]))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "labels.csv").write_text("image,diagnosis\n")
    arguments = ("segment", image, "--box", "1,2,0,4,3,3", "-o", folder)
    assert repmedsam(*arguments).code == 2
    assert (folder / "labels.csv").read_text() == "image,diagnosis\n"
    assert repmedsam(*arguments, "--overwrite").code == 0
