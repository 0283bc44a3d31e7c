"""Files from strangers: whatever is in them, they are read whole or refused with a reason, and cost little."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.io.npz import open_npz
from tests.conftest import npy_header, takes_less_than, write_npz, write_raw_npz


def read(path: Path, key: str = "imgs") -> np.ndarray:
    with open_npz(path) as npz:
        return npz.read(key)


DTYPES = st.sampled_from(["u1", "i1", "<u2", ">u2", "<i8", "<f4", ">f8", "?"])


@given(
    array=hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)), fortran=st.booleans()
)
def test_any_array_that_numpy_writes_is_read_back(
    array: np.ndarray, fortran: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    np.savez(path, imgs=np.asfortranarray(array) if fortran else array)
    back = read(path)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@given(junk=st.binary(max_size=400))
def test_junk_is_refused_never_crashed_on(junk: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("junk")
    plain = folder / "plain.npz"
    plain.write_bytes(junk)
    with pytest.raises(CaseReadError, match=r"plain\.npz"):
        read(plain)
    with pytest.raises(CaseReadError, match=r"inside\.npz"):
        read(write_raw_npz(folder / "inside.npz", imgs=junk))


@given(data=st.data())
def test_a_damaged_file_is_refused_or_still_right(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = np.arange(600, dtype=np.uint16).reshape(20, 30)
    path = write_npz(tmp_path_factory.mktemp("damaged") / "a.npz", imgs=array)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        back = read(path)
    except CaseReadError:
        return
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("kept", [0, 1, 30, 200, -1])
def test_a_truncated_zip_is_refused(kept: int, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", imgs=np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CaseReadError, match="not an npz file, or cut off"):
        read(path)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    path = tmp_path / "a.npz"
    np.savez(path, imgs=np.array([Trap()], object))
    with pytest.raises(CaseReadError, match="pickled"):
        read(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (2**40, 2**40, 2**40), (-5, 4)])
def test_a_huge_declared_shape_is_refused_before_anything_is_allocated(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = write_raw_npz(tmp_path / "a.npz", imgs=npy_header(shape) + b"\0" * 100)
    with takes_less_than(1 << 20), pytest.raises(CaseReadError, match="declares"):
        read(path)


def test_a_zip_bomb_costs_no_more_than_its_honest_part(tmp_path: Path) -> None:
    bomb = npy_header((100,)) + b"\0" * (64 << 20)  # 64 MB of zeros in 64 kB, behind a header that declares 100 bytes
    path = write_raw_npz(tmp_path / "a.npz", imgs=bomb)
    assert path.stat().st_size < 1 << 17
    with takes_less_than(4 << 20), pytest.raises(CaseReadError, match="but the file holds"):
        read(path)


def test_a_declared_size_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = write_raw_npz(tmp_path / "a.npz", imgs=npy_header((50, 50)) + b"\0" * 10)
    with pytest.raises(CaseReadError, match="declares shape"):
        read(path)


def test_a_missing_array_is_named_with_what_was_found(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", image=np.zeros(3), gts=np.zeros(3))
    with pytest.raises(CaseReadError, match=r"'imgs' is missing \(found: gts, image\)"):
        read(path)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    target = write_npz(tmp_path / "real.npz", imgs=np.zeros(3))
    (tmp_path / "link.npz").symlink_to(target)
    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "fifo.npz")  # a reader of it would wait for ever
    for name, reason in [("link", "symbolic link"), ("folder", "regular file"), ("fifo", "regular file")]:
        with pytest.raises(CaseReadError, match=reason):
            read(tmp_path / f"{name}.npz")
    with pytest.raises(CaseReadError, match="not there"):
        read(tmp_path / "gone.npz")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not hold root back")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", imgs=np.zeros(3))
    path.chmod(0)
    with pytest.raises(CaseReadError, match="cannot be opened"):
        read(path)


@pytest.mark.parametrize("dtype", ["|V0", "|V8", "<U3", "|S4", "<c16", "<M8[s]", [("a", "<i4"), ("b", "<f8")]])
def test_what_is_no_plain_number_is_refused_by_its_type(dtype: npt.DTypeLike, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, imgs=np.zeros(3, dtype))
    with pytest.raises(CaseReadError, match=r"a\.npz: 'imgs' (is of type .*; plain numbers are needed|is not a numpy)"):
        read(path)


def test_what_python_2_wrote_is_read_without_a_word(tmp_path: Path) -> None:
    header = npy_header((2, 3)).replace(b"(2, 3), }  ", b"(2L, 3L), }")
    assert b"2L" in header
    np.testing.assert_array_equal(read(write_raw_npz(tmp_path / "a.npz", imgs=header + b"\1" * 6)), np.ones((2, 3)))
