"""What the command line makes of files that hold several volumes, of odd values and of odd names."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Repmedsam
from tests.scans import labels_in

nib = pytest.importorskip("nibabel")

BOX = ("--box", "1,1,0,5,5,2")


def times(folder: Path) -> Path:
    voxels = np.random.default_rng(0).integers(0, 200, (8, 7, 3, 4), np.uint8)
    nib.save(nib.Nifti1Image(voxels, np.diag([-1.0, -1, 3, 1])), folder / "times.nii.gz")
    return folder / "times.nii.gz"


def test_a_volume_is_chosen_and_its_result_goes_back(tmp_path: Path, repmedsam: Repmedsam) -> None:
    image, cases = times(tmp_path), tmp_path / "cases"
    refused = repmedsam("convert", image, *BOX, "-o", cases)
    assert refused.code == 1
    assert refused.err == ("error: times.nii.gz: holds 4 volumes (8 x 7 x 3 x 4); choose one with --volume 0..3\n")
    for volume in (0, 3):
        done = repmedsam("convert", image, *BOX, "-o", cases, "--volume", volume, "--overwrite")
        assert (done.code, done.err) == (0, "")
        with np.load(cases / "3DBox_unknown_times.npz") as case:
            expected = np.asanyarray(nib.load(image).dataobj)[..., volume].T
            np.testing.assert_array_equal(case["imgs"], expected)
            segs = (case["imgs"] > 100).astype(np.uint8)
        np.savez(tmp_path / "segs.npz", segs=segs)
        back = tmp_path / f"back{volume}.nii.gz"
        done = repmedsam("convert", tmp_path / "segs.npz", "--like", image, "--volume", volume, "-o", back)
        assert (done.code, done.err) == (0, "")
        np.testing.assert_array_equal(labels_in(back), segs)
    assert repmedsam("convert", image, *BOX, "-o", cases, "--volume", -1).code == 2


def test_values_that_are_no_numbers_are_counted_in_a_warning(tmp_path: Path, repmedsam: Repmedsam) -> None:
    voxels = np.random.default_rng(0).normal(100, 20, (8, 7, 3)).astype(np.float32)
    voxels[0, 0] = np.nan
    nib.save(nib.Nifti1Image(voxels, np.diag([-1.0, -1, 3, 1])), tmp_path / "mr.nii")
    done = repmedsam("convert", tmp_path / "mr.nii", *BOX, "-o", tmp_path / "cases", "--modality", "MR")
    assert done.code == 0
    assert done.err.startswith("warning: mr.nii: 3 of its 168 values are NaN or infinite")


def test_a_name_that_is_too_long_stops_no_other_input(tmp_path: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "boxes.json").write_text('{"cases": {"times": [[1, 1, 0, 5, 5, 2]]}}')
    inputs, boxes = (tmp_path / ("a" * 300), times(tmp_path)), ("--boxes", tmp_path / "boxes.json")
    done = repmedsam("convert", *inputs, *boxes, "-o", tmp_path / "cases", "--volume", 0)
    assert done.code == 1
    assert (tmp_path / "cases" / "3DBox_unknown_times.npz").exists()
    (line,) = repmedsam("convert", tmp_path / ("a" * 300), *BOX, "-o", tmp_path / "cases").err.splitlines()
    assert "name too long" in line


def test_a_misspelt_output_is_wrong_usage(tmp_path: Path, repmedsam: Repmedsam) -> None:
    done = repmedsam("segment", times(tmp_path), *BOX, "-o", tmp_path / "labels.nii.gzz")
    assert done.code == 2
    assert done.err.startswith("error: labels.nii.gzz: label maps are written as .nii.gz")
    assert not (tmp_path / "labels.nii.gzz").exists()
