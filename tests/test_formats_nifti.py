"""NIfTI: voxels and places as nibabel has them; label maps on the very same voxels; what is damaged is refused."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats import read_scan, write_labels
from repmedsam_infer.formats.nifti.header import RAS_TO_LPS
from tests.scans import affines, place_of, random_labels

nib = pytest.importorskip("nibabel")

SHIPPED = Path(nib.__file__).parent / "tests" / "data"


def save(
    path: Path, voxels: NDArray[np.generic], affine: NDArray[np.float64] | None = None, kind: object = None
) -> Path:
    image = (kind or nib.Nifti1Image)(voxels, np.diag([2.0, 3, 4, 1]) if affine is None else affine)  # type: ignore[operator]
    nib.save(image, path)
    return path


def patched(path: Path, offset: int, content: bytes) -> Path:
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(content)] = content
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    "name", ["standard.nii.gz", "anatomical.nii", "example_nifti2.nii.gz", "reoriented_anat_moved.nii"]
)
def test_files_that_nibabel_ships_read_as_nibabel_reads_them(name: str, tmp_path: Path) -> None:
    if not (SHIPPED / name).exists():
        pytest.skip("this nibabel ships no test files")
    image = nib.load(SHIPPED / name)
    expected = np.asanyarray(image.dataobj)
    if expected.ndim == 4:
        with pytest.raises(CaseReadError, match=r"holds \d+ volumes .*--volume 0\.\.\d"):
            read_scan(SHIPPED / name)
        return
    scan = read_scan(SHIPPED / name)
    np.testing.assert_allclose(scan.voxels, expected.T, rtol=1e-6)
    np.testing.assert_allclose(place_of(scan), RAS_TO_LPS @ image.affine, atol=1e-9)
    labels = random_labels(scan.shape)
    for ending in (".nii", ".nii.gz"):
        write_labels(tmp_path / f"l{ending}", labels, scan)
        written = nib.load(tmp_path / f"l{ending}")
        assert type(written) is type(image)
        np.testing.assert_array_equal(np.asanyarray(written.dataobj), labels.T)
        assert written.get_data_dtype() == np.uint8
        for key in ("pixdim", "qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "srow_z", "xyzt_units"):
            np.testing.assert_array_equal(written.header[key], image.header[key])
        assert written.header.endianness == image.header.endianness


@given(affine=affines(), codes=st.tuples(st.integers(0, 4), st.integers(0, 4)), big=st.booleans(), two=st.booleans())
def test_a_label_map_has_the_very_affine_of_its_image(
    affine: NDArray[np.float64], codes: tuple[int, int], big: bool, two: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("nifti")
    kind = nib.Nifti2Image if two else nib.Nifti1Image
    header = kind.header_class(endianness=">" if big else "<")
    header.set_data_dtype(np.int16)
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = kind(voxels, None, header)
    image.set_qform(affine, codes[0])
    image.set_sform(affine if codes[1] else None, codes[1])
    nib.save(image, folder / "i.nii")
    before = nib.load(folder / "i.nii")
    scan = read_scan(folder / "i.nii")
    np.testing.assert_array_equal(scan.voxels, voxels.T)
    np.testing.assert_allclose(place_of(scan), RAS_TO_LPS @ before.affine, atol=1e-9)
    assert any("does not say" in warning for warning in scan.warnings) == (codes == (0, 0))
    write_labels(folder / "l.nii.gz", random_labels(scan.shape), scan)
    after = nib.load(folder / "l.nii.gz")
    np.testing.assert_array_equal(after.affine, before.affine)
    for key in (
        "qform_code",
        "sform_code",
        "quatern_b",
        "quatern_c",
        "quatern_d",
        "pixdim",
        "srow_x",
        "srow_y",
        "srow_z",
    ):
        np.testing.assert_array_equal(after.header[key], before.header[key])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_number_types_and_rescaling(dtype: type[np.number], tmp_path: Path) -> None:
    voxels = np.arange(60).reshape(3, 4, 5).astype(dtype)
    path = save(tmp_path / "v.nii", voxels)
    scan = read_scan(path)
    assert scan.voxels.dtype == dtype
    np.testing.assert_array_equal(scan.voxels, voxels.T)
    patched(path, 112, struct.pack("<ff", 2.5, -1024))  # scl_slope, scl_inter
    np.testing.assert_allclose(read_scan(path).voxels, voxels.T * 2.5 - 1024)


def test_colours_flat_files_units_and_wrong_endings(tmp_path: Path) -> None:
    rgb = np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["G"] = 7
    scan = read_scan(save(tmp_path / "rgb.nii.gz", rgb))
    assert scan.voxels.shape == (5, 4, 3, 3)
    assert scan.voxels[0, 0, 0].tolist() == [0, 7, 0]
    assert read_scan(save(tmp_path / "flat.nii", np.zeros((3, 4), np.int16))).shape == (1, 4, 3)
    assert read_scan(save(tmp_path / "one.nii", np.zeros((3, 4, 5, 1), np.int16))).shape == (5, 4, 3)

    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.diag([0.002, 0.003, 0.004, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "metres.nii")
    in_mm = place_of(read_scan(tmp_path / "metres.nii"))
    np.testing.assert_allclose(in_mm, np.diag([-2, -3, 4, 1]), rtol=1e-6)

    (tmp_path / "zipped.nii").write_bytes(gzip.compress((tmp_path / "flat.nii").read_bytes()))
    assert read_scan(tmp_path / "zipped.nii").shape == (1, 4, 3)
    (tmp_path / "nameless").write_bytes((tmp_path / "flat.nii").read_bytes())
    assert read_scan(tmp_path / "nameless").shape == (1, 4, 3)


def test_flat_files_keep_their_axes(tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path / "flat.nii", np.zeros((3, 4), np.int16)))
    labels = random_labels(scan.shape)
    write_labels(tmp_path / "l.nii", labels, scan)
    np.testing.assert_array_equal(np.asanyarray(nib.load(tmp_path / "l.nii").dataobj), labels[0].T)


def test_sform_and_qform_that_disagree_are_a_warning(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4))
    image.set_qform(np.diag([1.0, 1, 1, 1]), 1)
    image.set_sform(np.array([[1.0, 0, 0, 30], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), 1)
    nib.save(image, tmp_path / "two.nii")
    scan = read_scan(tmp_path / "two.nii")
    assert "30.0 mm apart" in scan.warnings[0]
    assert place_of(scan)[0, 3] == -30


# Bytes at places of a good header: what is wrong with it, and what is said.
PATCHES: dict[str, tuple[list[tuple[int, bytes]], str]] = {
    "huge": ([(42, struct.pack("<hhh", 32767, 32767, 2000))], "limit is 2 GiB"),
    "lies": ([(42, struct.pack("<hhh", 512, 512, 512))], "ends after 120 of 268,435,456 bytes"),
    "negative side": ([(42, struct.pack("<hhh", 3, -4, 5))], "3 x -4 x 5"),
    "no axes": ([(40, bytes(2))], "0 axes"),
    "nan affine": ([(280, struct.pack("<f", np.nan))], "NaN"),
    "absurd affine": ([(292, struct.pack("<f", 1e37))], "absurdly large"),
    "singular affine": ([(280, struct.pack("<12f", 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0))], "one plane"),
    "zero affine": ([(280, bytes(16))], "0 x 3 x 4 mm large"),
    "zero spacing": ([(252, struct.pack("<hh", 1, 0)), (80, struct.pack("<fff", 1, 0, 1))], "1 x 0 x 1 mm"),
    "nan spacing": ([(252, bytes(4)), (80, struct.pack("<fff", 1, np.nan, 1))], "1 x nan x 1 mm"),
    "quaternion": ([(252, struct.pack("<hh", 1, 0)), (256, struct.pack("<fff", 5, 5, 5))], "qform is damaged"),
    "unknown type": ([(70, struct.pack("<h", 999))], "unknown data type 999"),
    "pair": ([(344, b"ni1\0")], "pair"),
    "offset": ([(108, struct.pack("<f", 1e30))], "damaged"),
    "infinite slope": ([(112, struct.pack("<ff", np.inf, 0))], "slope inf"),
}


@pytest.mark.parametrize("kind", PATCHES)
def test_headers_that_make_no_sense_are_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    path = save(tmp_path / "b.nii", np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    patches, reason = PATCHES[kind]
    for offset, content in patches:
        patched(path, offset, content)
    refuses(path, reason)


def test_files_that_are_cut_off_or_of_another_kind_are_refused_in_one_sentence(tmp_path: Path) -> None:
    good = save(tmp_path / "good.nii", np.arange(60, dtype=np.int16).reshape(3, 4, 5)).read_bytes()
    zipped = bytearray(gzip.compress(good))
    zipped[-6] ^= 0xFF  # of the checksum
    for name, content, reason in [
        ("empty.nii", b"", "0 bytes"),
        ("text.nii", b"hello, world" * 50, "not a NIfTI"),
        ("header.nii", good[:200], "cut off"),
        ("voxels.nii", good[:-10], "ends after 110 of 120 bytes"),
        ("voxels.nii.gz", gzip.compress(good)[:-12], "cut off"),
        ("checksum.nii.gz", bytes(zipped), "CRC"),
    ]:
        (tmp_path / name).write_bytes(content)
        refuses(tmp_path / name, reason)
    refuses(
        save(tmp_path / "4d.nii", np.zeros((3, 4, 5, 2), np.int16)),
        "holds 2 volumes (3 x 4 x 5 x 2); choose one with --volume 0..1",
    )
    refuses(save(tmp_path / "complex.nii", np.zeros((3, 4, 5), np.complex64)), "not grey levels")


def refuses(path: Path, reason: str) -> None:
    with pytest.raises(CaseReadError) as refused:
        read_scan(path)
    assert reason in str(refused.value)
    assert str(refused.value).startswith(path.name)
    assert "\n" not in str(refused.value)


@given(patches=st.lists(st.tuples(st.integers(0, 360), st.integers(0, 255)), min_size=1, max_size=4), two=st.booleans())
def test_headers_of_any_bytes_are_read_or_refused(
    patches: list[tuple[int, int]], two: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = nib.Nifti2Image if two else nib.Nifti1Image
    path = tmp_path_factory.mktemp("fuzz") / "f.nii"
    save(path, np.arange(60, dtype=np.int16).reshape(3, 4, 5), kind=kind)
    for offset, value in patches:
        patched(path, offset, bytes([value]))
    try:
        scan = read_scan(path)
    except CaseReadError as error:
        assert "\n" not in str(error)
        return
    write_labels(path.with_name("l.nii"), random_labels(scan.shape), scan)
    assert np.isfinite(place_of(scan)).all()


def test_what_is_no_file_is_refused_and_links_are_followed(tmp_path: Path) -> None:
    with pytest.raises(CaseReadError, match="not there"):
        read_scan(tmp_path / "nowhere.nii")
    (tmp_path / "case.npz").write_bytes(b"PK")
    with pytest.raises(CaseReadError, match="repmedsam predict"):
        read_scan(tmp_path / "case.npz")
    if os.name == "nt":
        return
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(CaseReadError, match="not a regular file"):
        read_scan(tmp_path / "pipe.nii")
    save(tmp_path / "there.nii", np.zeros((3, 4, 5), np.int16))
    (tmp_path / "link.nii").symlink_to(tmp_path / "there.nii")
    assert read_scan(tmp_path / "link.nii").name == "link"


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("volume", [0, 1, 5])
def test_one_of_several_volumes_has_a_label_map_of_three_axes_in_its_place(
    ending: str, volume: int, tmp_path: Path
) -> None:
    voxels = np.random.default_rng(0).integers(-99, 99, (3, 4, 5, 3, 2), np.int16)
    path = save(
        tmp_path / f"times{ending}", voxels, np.array([[0, 2.0, 0, 1], [3, 0, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1]])
    )
    scan = read_scan(path, volume=volume)
    np.testing.assert_array_equal(scan.voxels, voxels.reshape(3, 4, 5, 6, order="F")[..., volume].T)
    write_labels(tmp_path / "labels.nii", random_labels(scan.shape), scan)
    written, image = nib.load(tmp_path / "labels.nii"), nib.load(path)
    assert written.shape == (3, 4, 5)
    np.testing.assert_array_equal(written.affine, image.affine)
    with pytest.raises(CaseReadError, match=r"there is no volume 6: it holds 6 volumes .*--volume 0\.\.5"):
        read_scan(path, volume=6)


def test_a_volume_that_is_cut_off_is_refused_and_those_before_it_are_read(tmp_path: Path) -> None:
    path = save(tmp_path / "times.nii", np.zeros((3, 4, 5, 2), np.int16))
    path.write_bytes(path.read_bytes()[:-10])
    assert read_scan(path, volume=0).shape == (5, 4, 3)
    with pytest.raises(CaseReadError, match="ends after 110 of 120 bytes"):
        read_scan(path, volume=1)
