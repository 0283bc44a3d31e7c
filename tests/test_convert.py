"""Cases of the challenge out of real files, and results back on the very voxels of the original."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.case import read_case, write_segmentation
from repmedsam_infer.commands.files.convert import make_cases, modality_word, put_back
from repmedsam_infer.commands.files.reading import Reading, make_reading
from repmedsam_infer.evaluation.evaluate import evaluate
from repmedsam_infer.formats.boxes.source import BoxSource
from repmedsam_infer.formats.boxes.typed import TypedBox
from repmedsam_infer.io.case_files import modality_of
from tests.conftest import Repmedsam, good_image
from tests.scans import affines, labels_in

nib = pytest.importorskip("nibabel")

F64 = NDArray[np.float64]


def write_nifti(path: Path, voxels: NDArray[Any], affine: F64 | None = None) -> Path:
    """(z, y, x) voxels where an affine in RAS says."""
    nib.save(nib.Nifti1Image(voxels.T, np.eye(4) if affine is None else affine), path)
    return path


def labelled(shape: tuple[int, ...] = (5, 6, 7)) -> NDArray[np.uint8]:
    labels = np.zeros(shape, np.uint8)
    labels[1:3, 1:4, 0:3], labels[3, 4:, 3:6] = 3, 9
    return labels


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines())
def test_there_and_back_is_exact(affine: F64, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("convert")
    voxels = np.arange(210, dtype=np.int16).reshape(5, 6, 7)
    image, labels = write_nifti(folder / "i.nii", voxels, affine), write_nifti(folder / "gt.nii", labelled(), affine)
    (made,) = make_cases([image], folder / "cases", BoxSource(labels=labels), Reading(modality="MR"))
    assert not made.error
    assert made.target is not None
    assert made.target.name == "3DBox_MR_i.npz"
    case, arrays = read_case(made.target), np.load(made.target)
    assert not case.warnings
    assert set(np.unique(arrays["gts"])) == {0, 1, 2}
    for label, (x0, y0, z0, x1, y1, z1) in enumerate(arrays["boxes"].tolist(), 1):
        where = np.argwhere(arrays["gts"] == label)
        assert [*where.min(0)[::-1], *where.max(0)[::-1]] == [x0, y0, z0, x1, y1, z1]
    write_segmentation(folder / "segs.npz", arrays["gts"])
    put_back(folder / "segs.npz", image, folder / "back.nii.gz", Reading())
    back = nib.load(folder / "back.nii.gz")
    expected = np.select([labelled() == 3, labelled() == 9], [1, 2])
    np.testing.assert_array_equal(np.asanyarray(back.dataobj).T, expected)
    np.testing.assert_array_equal(back.affine, nib.load(image).affine)


def test_cases_are_what_predict_and_evaluate_take(tmp_path: Path, repmedsam: Repmedsam) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    disc = np.hypot(*(np.mgrid[:40, :60] - np.array([20, 30])[:, None, None])) < 10
    cv2.imwrite(str(tmp_path / "images" / "photo.png"), good_image())
    cv2.imwrite(str(tmp_path / "labels" / "photo.png"), disc.astype(np.uint8) * 7)
    photo = tmp_path / "images" / "photo.png"
    result = repmedsam(
        "convert", photo, "--boxes-from", tmp_path / "labels", "-o", tmp_path / "cases", "--modality", "us"
    )
    assert result.code == 0, result.err
    assert repmedsam("predict", "-i", tmp_path / "cases", "-o", tmp_path / "segs").code == 0
    (score,) = evaluate(tmp_path / "segs", tmp_path / "cases", challenge=False, baselines=False)
    assert score.modality == "US"
    assert score.score.dsc > 0.8
    back = tmp_path / "back.png"
    assert repmedsam("convert", tmp_path / "segs" / "2DBox_US_photo.npz", "--like", photo, "-o", back).code == 0
    segs = np.load(tmp_path / "segs" / "2DBox_US_photo.npz")["segs"]
    np.testing.assert_array_equal(labels_in(back), segs)


WORDS = {
    "Endoscopy": ["ES", "es", "endoscopy"],
    "XRay": ["DX", "CR", "xray", "X-Ray", "x_ray", "XA"],
    "Dermoscopy": ["DMS", "XC", "dermoscopy"],
    "Fundus": ["OP", "fundus"],
    "Mammography": ["MG", "mammography"],
    "Microscopy": ["SM", "GM", "microscopy"],
    "US": ["US", "us", "IVUS"],
    "OCT": ["OPT", "oct"],
    "CT": ["CT", "ct"],
    "MR": ["MR", "mri"],
    "PET": ["PT", "pet"],
    "unknown": ["", " ", "/"],
}


@pytest.mark.parametrize(("word", "said"), [(word, one) for word, others in WORDS.items() for one in others])
def test_cases_are_named_with_the_challenges_words(word: str, said: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "i.png"), good_image())
    box = BoxSource(typed=(TypedBox(np.array([1.0, 2, 14, 13])),))
    (made,) = make_cases([tmp_path / "i.png"], tmp_path / "cases", box, make_reading(None, said, None))
    assert made.target is not None
    assert made.target.name == f"2DBox_{word}_i.npz"
    assert modality_of(made.target.name) == word


@given(said=st.text(st.characters(), max_size=300))
def test_any_word_makes_a_file_name(said: str) -> None:
    word = modality_word(said)
    assert re.fullmatch(r"[\w-]{1,32}", word)
    assert modality_of(f"2DBox_{word}_i.npz") == word
    assert modality_word(word) == word


def test_one_slice_becomes_a_picture(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(42, dtype=np.int16).reshape(1, 6, 7))
    box = BoxSource(typed=(TypedBox(np.array([1.0, 2, 4, 3])),))
    (made,) = make_cases([image], tmp_path / "cases", box, Reading())
    assert made.target is not None
    assert made.target.name == "2DBox_unknown_i.npz"
    arrays = np.load(made.target)
    assert arrays["imgs"].shape == (6, 7)
    assert "spacing" not in arrays
    write_segmentation(tmp_path / "segs.npz", np.ones((6, 7), np.uint8))
    put_back(tmp_path / "segs.npz", image, tmp_path / "l.nii", Reading())
    assert nib.load(tmp_path / "l.nii").shape == (7, 6, 1)


def test_what_does_not_fit_is_refused_in_one_sentence(tmp_path: Path, repmedsam: Repmedsam) -> None:
    image = write_nifti(tmp_path / "i.nii", np.arange(210, dtype=np.int16).reshape(5, 6, 7), np.diag([1, 1, 3, 1]))
    segs, out = tmp_path / "segs.npz", tmp_path / "out.nii"
    wrong: list[tuple[NDArray[Any], str]] = [
        (np.zeros((5, 6, 8), np.uint8), "it is of another image"),
        (np.zeros((5, 6, 7), np.float32), "not a label map"),
        (np.full((5, 6, 7), -1, np.int16), "not a label map"),
    ]
    for array, reason in wrong:
        np.savez(segs, segs=array)
        result = repmedsam("convert", segs, "--like", image, "-o", out)
        assert result.code == 1
        assert reason in result.err
        assert not out.exists()
    np.savez(segs, segs=labelled())
    for arguments, reason in [
        ((segs, "--like", image, "-o", image, "--overwrite"), "which is read"),
        ((segs, "--like", image, "-o", image), "already there"),
        ((segs, image, "--like", image, "-o", out), "one result"),
        ((segs, "--like", image, "-o", tmp_path / "l.gif"), "written as"),
        ((image, "-o", tmp_path / "cases"), "one of these is needed"),
    ]:
        result = repmedsam("convert", *arguments)
        assert result.code == 2
        assert reason in result.err
    assert repmedsam("convert", segs, "--like", image, "-o", out, "--stored-order").code == 0
    np.testing.assert_array_equal(np.asanyarray(nib.load(out).dataobj).T, labelled())


def test_a_taken_name_and_a_bad_input_stop_no_other(tmp_path: Path, repmedsam: Repmedsam) -> None:
    good = write_nifti(tmp_path / "good.nii", np.arange(210, dtype=np.int16).reshape(5, 6, 7))
    (tmp_path / "bad.nii").write_bytes(b"nonsense")
    (tmp_path / "boxes.json").write_text('{"cases": {"good": [[0, 0, 0, 3, 3, 3]], "bad": [[0, 0, 0, 3, 3, 3]]}}')
    arguments = ("convert", tmp_path / "bad.nii", good, "--boxes", tmp_path / "boxes.json", "-o", tmp_path / "cases")
    result = repmedsam(*arguments)
    assert result.code == 1
    assert (tmp_path / "cases" / "3DBox_unknown_good.npz").exists()
    assert "bad.nii: is not a NIfTI" in result.err
    assert "use --overwrite" in repmedsam(*arguments).err
    assert "use --overwrite" not in repmedsam(*arguments, "--overwrite").err


@given(seed=st.integers(0, 1000))
def test_many_labels_stay_apart(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("many")
    labels = np.random.default_rng(seed).integers(0, 400, (2, 20, 20), np.uint16)
    labels[0, 0, 0] = 0
    image = write_nifti(folder / "i.nii", np.arange(800, dtype=np.int16).reshape(2, 20, 20))
    source = BoxSource(labels=write_nifti(folder / "gt.nii", labels))
    (made,) = make_cases([image], folder, source, Reading())
    assert made.target is not None
    gts = np.load(made.target)["gts"]
    assert len(np.unique(gts)) == len(np.unique(labels)) == gts.max() + 1


def test_where_a_case_went_is_one_printable_line_whatever_it_is_called(tmp_path: Path, repmedsam: Repmedsam) -> None:
    picture = tmp_path / "a\x1b[31m\nb\u202e.png"
    cv2.imwrite(str(picture), good_image())
    done = repmedsam("convert", picture, "--box", "18,8,42,32", "-o", tmp_path / "cases")
    assert done.code == 0
    (line,) = done.out.splitlines()
    assert line.isprintable()
    assert line.endswith(r"a\x1b[31m\nb\u202e.npz")
