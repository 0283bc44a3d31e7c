"""RepMedSAM from Python: the same masks as the command line's, from arrays."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer import Segmenter
from repmedsam_infer.errors import CaseReadError, UsageError
from tests.conftest import Repmedsam, good_box, good_image

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(precision="fp32", threads=2)


@pytest.mark.slow
def test_arrays_give_what_files_give(segmenter: Segmenter, samples: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    assert repmedsam("predict", "-i", samples, "-o", tmp_path, "--precision", "fp32", "--threads", 2).code == 0
    for path in samples.glob("*.npz"):
        with np.load(path) as case, np.load(tmp_path / path.name) as done:
            np.testing.assert_array_equal(segmenter.segment(case["imgs"], case["boxes"]), done["segs"])


def test_box_after_box_gives_the_masks_of_all_at_once(segmenter: Segmenter, samples: Path) -> None:
    with np.load(samples / "2DBox_XRay_phantom_0000.npz") as case:
        image, boxes = case["imgs"], case["boxes"]
    segmenter.set_image(image)
    one_by_one = np.concatenate([segmenter.masks([box]) for box in boxes])
    together = segmenter.masks(boxes)
    assert together.shape == (len(boxes), *image.shape[:2])
    assert (one_by_one != together).mean() < 1e-4
    labels = segmenter.segment(image, boxes).labels
    for label, mask in enumerate(together, 1):
        assert not (mask < (labels == label)).any()  # others may lie over it


def test_a_box_that_marks_nothing_is_empty_with_a_warning(segmenter: Segmenter) -> None:
    boxes = [*good_box().tolist(), [500, 500, 600, 600]]
    with pytest.warns(UserWarning, match="box 2"):
        assert segmenter.segment(good_image(), boxes).labels.max() == 1
    segmenter.set_image(good_image())
    with pytest.warns(UserWarning, match="box 2"):
        masks = segmenter.masks(boxes)
    assert masks[0].any()
    assert not masks[1].any()


def test_what_numpy_makes_an_array_of_is_taken(segmenter: Segmenter) -> None:
    image, box = good_image(), good_box()
    labels = segmenter.segment(image, box).labels
    np.testing.assert_array_equal(segmenter.segment(image.tolist(), box.tolist()), labels)


def test_boxes_of_another_kind_are_refused_with_what_to_do(segmenter: Segmenter) -> None:
    image = good_image()
    with pytest.raises(CaseReadError, match=r"fractions of the image do; multiply them by its sides \("):
        segmenter.segment(image, [[0.1, 0.2, 0.5, 0.6]])
    with pytest.raises(CaseReadError, match=r"is a picture in colours; give boxes x_min y_min x_max y_max"):
        segmenter.segment(np.zeros((40, 50, 3), np.uint8), [[1, 2, 0, 30, 40, 0]])
    assert segmenter.segment(image, [[0, 0, 1, 1]]).labels.shape == image.shape[:2]  # whole numbers are pixels


def test_after_an_image_that_is_refused_the_one_before_is_gone(segmenter: Segmenter) -> None:
    segmenter.set_image(good_image())
    with pytest.raises(CaseReadError):
        segmenter.set_image(np.zeros((2, 3, 4, 5), np.uint8))
    with pytest.raises(UsageError, match="set_image"):
        segmenter.masks(good_box())


def test_wrong_arrays_are_refused(segmenter: Segmenter) -> None:
    with pytest.raises(CaseReadError, match="0 to 255"):
        segmenter.segment(good_image() * np.int16(9), good_box())
    with pytest.raises(CaseReadError, match="boxes"):
        segmenter.segment(good_image(), [1, 2, 3])
    with pytest.raises(CaseReadError, match="image"):
        segmenter.set_image(np.zeros((2, 3, 4, 5), np.uint8))
    with pytest.raises(UsageError, match="set_image"):
        Segmenter(precision="fp32", threads=1).masks(good_box())


def test_the_example_of_the_readme_runs(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = README.read_text().partition("```python\n")[2].partition("```")[0]
    assert "Segmenter" in example
    (tmp_path / "cases").symlink_to(samples)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(example, "README.md", "exec"), {})
