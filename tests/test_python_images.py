"""Python takes images as people have them: paths, nibabel, SimpleITK, PIL, torch; threads may share a Segmenter."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from repmedsam_infer import CaseReadError, Segmenter, UsageError
from tests.conftest import Repmedsam, good_box, good_image

nib = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")

BOX = [6, 8, 1, 25, 30, 4]
AFFINE = np.array([[-0.8, 0, 0, 10], [0, 0.9, 0, -20], [0, 0, 5, 3], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(precision="fp32", threads=2)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright ball in a CT of 7 slices, (x, y, z) in the file."""
    path = tmp_path_factory.mktemp("scan") / "ct.nii.gz"
    z, y, x = np.mgrid[:7, :40, :36]
    inside = ((x - 15.5) / 9) ** 2 + ((y - 19) / 11) ** 2 + ((z - 2.5) / 2) ** 2 < 1
    voxels = (np.where(inside, 60, -100) + np.random.default_rng(0).integers(-9, 9, inside.shape)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels.T, AFFINE), path)
    return path


def test_paths_and_images_of_libraries_give_what_the_command_gives(
    segmenter: Segmenter, scan: Path, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    box, out = ",".join(map(str, BOX)), tmp_path / "labels.nii.gz"
    options = ("--box", box, "--window", "40,400", "-o", out, "--precision", "fp32", "--threads", 2)
    assert repmedsam("segment", scan, *options).code == 0
    expected = np.asanyarray(nib.load(out).dataobj)
    assert expected.any()
    of_path = segmenter.segment(scan, [BOX], window="40,400")
    np.testing.assert_array_equal(of_path.labels, expected.T)
    np.testing.assert_array_equal(segmenter.segment(str(scan), [BOX], window="40,400").labels, expected.T)
    np.testing.assert_array_equal(segmenter.segment(nib.load(scan), [BOX], window="40,400").labels, expected)
    np.testing.assert_array_equal(segmenter.segment(sitk.ReadImage(scan), [BOX], window="40,400").labels, expected.T)
    (ball,) = of_path.objects
    assert ball.volume_ml == pytest.approx(ball.pixels * 0.8 * 0.9 * 5 / 1000)
    assert ball.area_mm2 is None


def test_one_volume_of_several_is_chosen_of_a_file(segmenter: Segmenter, scan: Path, tmp_path: Path) -> None:
    image = nib.load(scan)
    several = tmp_path / "several.nii"
    voxels = np.asanyarray(image.dataobj)
    nib.save(nib.Nifti1Image(np.stack([voxels[::-1], voxels], -1), AFFINE), several)
    with pytest.raises(CaseReadError, match=r"holds 2 volumes .*--volume 0\.\.1"):
        segmenter.segment(several, [BOX], window="40,400")
    chosen = segmenter.segment(several, [BOX], window="40,400", volume=1)
    np.testing.assert_array_equal(chosen.labels, segmenter.segment(scan, [BOX], window="40,400").labels)
    with pytest.raises(UsageError, match="a volume is chosen of a file"):
        segmenter.segment(voxels, [BOX], volume=1)


def test_names_and_confidence_of_objects_are_in_the_report_of_segment(
    scan: Path, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"box": BOX, "name": "ball"}]))
    assert repmedsam("segment", scan, "--boxes", boxes, "-o", tmp_path / "out/", "--format", "nii.gz").code == 0
    (case,) = json.loads((tmp_path / "out" / "report.json").read_text())["cases"]
    (ball,) = case["objects"]
    assert (ball["label"], ball["name"], ball["box"]) == (1, "ball", BOX)
    assert 0 <= ball["confidence"] <= 1


def test_pictures_of_pil_and_tensors_are_taken(segmenter: Segmenter) -> None:
    image, box = good_image(), good_box()
    labels = segmenter.segment(image, box).labels
    pil = pytest.importorskip("PIL.Image")
    np.testing.assert_array_equal(segmenter.segment(pil.fromarray(image), box).labels, labels)
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(segmenter.segment(torch.from_numpy(image), torch.from_numpy(box)).labels, labels)


def test_images_that_are_no_picture_or_volume_are_refused(segmenter: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(CaseReadError, match="has 4 axes"):
        segmenter.segment(nib.Nifti1Image(np.zeros((4, 4, 4, 2), np.int16), AFFINE), [BOX])
    with pytest.raises(CaseReadError, match="2 values a voxel"):
        segmenter.segment(sitk.Image([4, 4, 4], sitk.sitkVectorUInt8, 2), [BOX])
    with pytest.raises(CaseReadError, match="the file is not there"):
        segmenter.segment(tmp_path / "none.nii", [BOX])
    with pytest.raises(UsageError, match="arrays are 0 to 255 already"):
        segmenter.segment(good_image(), good_box(), window="lung")


def test_threads_get_what_each_would_get_alone(segmenter: Segmenter, samples: Path) -> None:
    cases: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for path in sorted(samples.glob("2D*.npz"))[:3]:
        with np.load(path) as npz:
            cases.append((npz["imgs"], npz["boxes"]))
    alone = [segmenter.segment(*case).labels for case in cases]
    segmenter.set_image(cases[0][0])
    masks = segmenter.masks(cases[0][1])

    def ask(i: int) -> bool:
        if i % 4 == 3:
            return bool((segmenter.masks(cases[0][1]) == masks).all())
        return bool((segmenter.segment(*cases[i % 4 % len(cases)]).labels == alone[i % 4 % len(cases)]).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(16)))
