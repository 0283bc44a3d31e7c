"""The npz contract: what is taken, what is refused and how, what is written."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.case import read_case, write_segmentation
from repmedsam_infer.errors import CaseReadError, CaseWriteError
from repmedsam_infer.io.atomic import sweep
from tests.conftest import good_box, good_image, write_npz


def test_a_picture(tmp_path: Path) -> None:
    case = read_case(write_npz(tmp_path / "2DBox_US_x.npz", imgs=good_image(), boxes=good_box(), gts=np.zeros(3)))
    assert not case.is_volume
    assert case.shape == (40, 60)
    assert case.warnings == ()


def test_a_volume(tmp_path: Path) -> None:
    imgs = np.repeat(good_image()[None, ..., 0], 5, 0)
    spacing = np.array([2.5, 1, 1])
    case = read_case(
        write_npz(tmp_path / "3DBox_CT_x.npz", imgs=imgs, boxes=np.array([[1, 2, 0, 9, 9, 4]]), spacing=spacing)
    )
    assert case.is_volume
    assert case.shape == (5, 40, 60)
    assert case.spacing is not None
    np.testing.assert_array_equal(case.spacing, spacing)


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 1), (40, 60, 3), (1, 1), (1, 5000), (5000, 1, 3)])
def test_shapes_of_pictures(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = write_npz(
        tmp_path / "a.npz", imgs=np.arange(np.prod(shape)).reshape(shape).astype(np.uint8), boxes=good_box()
    )
    assert read_case(path).shape == shape[:2]


@pytest.mark.parametrize("shape", [(5, 40, 60), (5, 40, 60, 1), (5, 40, 60, 3)])
def test_shapes_of_volumes(shape: tuple[int, ...], tmp_path: Path) -> None:
    boxes = np.array([[1, 2, 0, 9, 9, 4]])
    assert read_case(write_npz(tmp_path / "3D.npz", imgs=np.zeros(shape, np.uint8), boxes=boxes)).shape == (5, 40, 60)


@pytest.mark.parametrize("dtype", ["uint16", "int64", "float32", "float64", "float16"])
def test_grey_levels_of_another_type_are_the_same_picture(dtype: str, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", imgs=good_image().astype(dtype), boxes=good_box())
    np.testing.assert_array_equal(read_case(path).imgs, good_image())


NAN_IMAGE = good_image().astype(float)
NAN_IMAGE[3, 4] = np.nan


@pytest.mark.parametrize(
    ("name", "imgs", "reason"),
    [
        ("a", NAN_IMAGE, "NaN"),
        ("a", good_image().astype(np.uint16) + 900, "0 to 255"),
        ("a", good_image().astype(float) - 300, "0 to 255"),
        ("a", good_image() / 255, "multiply by 255"),
        ("a", np.zeros((40, 60, 4), np.uint8), r"\(H, W, 3\)"),
        ("a", np.zeros((2, 40, 60, 3), np.uint8), r"\(H, W, 3\)"),
        ("a", np.zeros(40, np.uint8), r"\(H, W, 3\)"),
        ("a", np.zeros((0, 60, 3), np.uint8), "empty"),
        ("a", np.zeros((40, 60), "datetime64[s]"), "type datetime64"),
        ("3D", np.zeros((40, 60), np.uint8), r"\(D, H, W\)"),
        ("3D", np.zeros((0, 40, 60), np.uint8), "empty"),
    ],
)
def test_other_pictures_are_refused_with_a_reason(name: str, imgs: np.ndarray, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CaseReadError, match=f"^{name}.npz: .*{reason}"):
        read_case(write_npz(tmp_path / f"{name}.npz", imgs=imgs, boxes=good_box()))


def test_a_constant_picture_is_warned_of(tmp_path: Path) -> None:
    case = read_case(write_npz(tmp_path / "a.npz", imgs=np.full((40, 60, 3), 7, np.uint8), boxes=good_box()))
    assert "constant" in case.warnings[0]


def test_senseless_spacing_is_ignored_with_a_warning(tmp_path: Path) -> None:
    imgs = np.repeat(good_image()[None, ..., 0], 5, 0)
    for spacing in (np.zeros(3), np.ones(2), np.array([1, np.nan, 1])):
        path = write_npz(tmp_path / "3D.npz", imgs=imgs, boxes=np.array([[1, 2, 0, 9, 9, 4]]), spacing=spacing)
        assert "spacing" in read_case(path).warnings[0]


@pytest.mark.parametrize(("count", "dtype"), [(255, np.uint8), (256, np.uint16), (300, np.uint16)])
def test_labels_fit_their_type(count: int, dtype: type, tmp_path: Path) -> None:
    case = read_case(write_npz(tmp_path / "a.npz", imgs=good_image(), boxes=np.repeat(good_box(), count, 0)))
    assert case.empty_segmentation().dtype == dtype


def test_what_is_written_is_what_numpy_reads(tmp_path: Path) -> None:
    segs = np.random.default_rng(0).integers(0, 300, (7, 20, 30)).astype(np.uint16)
    write_segmentation(tmp_path / "a.npz", segs)
    with np.load(tmp_path / "a.npz") as data:
        assert list(data) == ["segs"]
        np.testing.assert_array_equal(data["segs"], segs)
    assert os.listdir(tmp_path) == ["a.npz"]


def test_equal_segmentations_give_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        write_segmentation(tmp_path / name, np.eye(9, dtype=np.uint8))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_segmentation(path, np.zeros((4, 4), np.uint8))
    before = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 255, (300, 300)).astype(np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as a full disk would
    try:
        with pytest.raises(CaseWriteError, match=r"a\.npz: the segmentation could not be written"):
            write_segmentation(path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.npz"]


KILLED_WHILE_WRITING = """
import os, signal, sys, numpy
from pathlib import Path
from repmedsam_infer.case import write_segmentation
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # content half on its variant, name not yet given
write_segmentation(Path(sys.argv[1]), numpy.ones((50, 50), numpy.uint8))
"""


def test_kill_9_while_writing_never_leaves_a_torn_result(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_segmentation(path, np.zeros((4, 4), np.uint8))
    before = path.read_bytes()
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert len(os.listdir(tmp_path)) == 2  # the unfinished file, hidden
    assert sorted(tmp_path.glob("*.npz"))[-1] == path
    sweep(path)
    assert os.listdir(tmp_path) == ["a.npz"]
