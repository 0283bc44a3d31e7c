"""NRRD and MetaImage, and between them and NIfTI: every label keeps its voxel and its millimetre."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, CaseWriteError
from repmedsam_infer.formats import read_scan, write_labels
from tests.scans import affines, place_of, random_labels

sitk = pytest.importorskip("SimpleITK")
nib = pytest.importorskip("nibabel")

F64 = NDArray[np.float64]


def save(path: Path, voxels: NDArray[np.generic], affine: F64 | None = None, is_vector: bool = False) -> Path:
    """Where an affine in LPS says."""
    image = sitk.GetImageFromArray(voxels, isVector=is_vector)
    if affine is not None:
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


def place_of_label(path: Path, label: int) -> F64:
    """(3,) mm LPS, as the libraries themselves see it."""
    if ".nii" in path.name:
        image = nib.load(path)
        index = np.argwhere(np.asanyarray(image.dataobj) == label)[0]
        return np.diag([-1.0, -1, 1]) @ (image.affine @ [*index, 1])[:3]
    image = sitk.ReadImage(str(path))
    z, y, x = np.argwhere(sitk.GetArrayFromImage(image) == label)[0].tolist()
    return np.array(image.TransformIndexToPhysicalPoint((x, y, z)))


@given(
    affine=affines(),
    voxel=st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 4)),
    ending=st.sampled_from([".nrrd", ".mha", ".nii", ".nii.gz"]),
    target=st.sampled_from([".nrrd", ".mha", ".nii", ".nii.gz"]),
)
def test_a_label_keeps_its_millimetre_from_any_format_to_any(
    affine: F64, voxel: tuple[int, int, int], ending: str, target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    image = folder / f"image{ending}"
    if ".nii" in ending:
        nib.save(nib.Nifti1Image(voxels.T, np.diag([-1, -1, 1, 1]) @ affine), image)
    else:
        save(image, voxels, affine)
    scan = read_scan(image)
    np.testing.assert_array_equal(scan.voxels, voxels)
    np.testing.assert_allclose(place_of(scan), affine, atol=1e-3)
    labels = np.zeros(scan.shape, np.uint8)
    labels[voxel] = 1
    write_labels(folder / f"labels{target}", labels, scan)
    expected = affine[:3] @ [*voxel[::-1], 1]
    np.testing.assert_allclose(place_of_label(folder / f"labels{target}", 1), expected, atol=1e-2)
    again = read_scan(folder / f"labels{target}")
    np.testing.assert_array_equal(again.voxels, labels)
    np.testing.assert_allclose(place_of(again), place_of(scan), atol=1e-3)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_labels_have_the_very_place_of_their_image(ending: str, tmp_path: Path) -> None:
    affine = np.array([[0.1, 0.7, 0.3, 1 / 3], [0.9, 0, 0.1, -7.1], [0, 0.3, 2.1, 1e-3], [0, 0, 0, 1]])
    path = save(tmp_path / f"i{ending}", np.zeros((3, 4, 5), np.int16), affine)
    write_labels(tmp_path / f"l{ending}", random_labels((3, 4, 5)), read_scan(path))
    image, labels = sitk.ReadImage(str(path)), sitk.ReadImage(str(tmp_path / f"l{ending}"))
    assert labels.GetPixelIDValue() == sitk.sitkUInt8
    for get in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize"):
        assert getattr(image, get)() == pytest.approx(getattr(labels, get)(), abs=1e-15)


def test_the_space_of_nrrd_is_turned_to_lps_or_warned_of(tmp_path: Path) -> None:
    path = save(tmp_path / "i.nrrd", np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([2.0, 3, 4, 1]))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"left-posterior-superior", b"right-anterior-superior"))
    np.testing.assert_allclose(place_of(read_scan(path)), np.diag([-2, -3, 4, 1]))
    spaceless = raw.replace(b"space: left-posterior-superior\n", b"space dimension: 3\n")
    path.write_bytes(spaceless)
    assert "does not say how it lies in the patient (no space)" in read_scan(path).warnings[0]
    path.write_bytes(raw.replace(b"left-posterior-superior", b"scanner-xyz"))
    assert "does not say how it lies in the patient (its space is scanner-xyz)" in read_scan(path).warnings[0]


def test_pictures_colours_and_detached_voxels(tmp_path: Path) -> None:
    flat = read_scan(save(tmp_path / "flat.mha", np.arange(12, dtype=np.uint8).reshape(3, 4)))
    assert (flat.shape, flat.is_volume, flat.affine) == ((3, 4), False, None)
    write_labels(tmp_path / "l.mha", random_labels((3, 4)), flat)
    assert sitk.ReadImage(str(tmp_path / "l.mha")).GetDimension() == 2
    rgb = read_scan(save(tmp_path / "rgb.nrrd", np.zeros((3, 4, 5, 3), np.uint8), is_vector=True))
    assert rgb.voxels.shape == (3, 4, 5, 3)
    detached = read_scan(save(tmp_path / "detached.mhd", np.arange(60, dtype=np.int16).reshape(3, 4, 5)))
    np.testing.assert_array_equal(detached.voxels.ravel(), np.arange(60))
    with pytest.raises(CaseWriteError, match=".nrrd"):
        write_labels(tmp_path / "l.mhd", random_labels((3, 4, 5)), detached)


def test_what_is_damaged_or_points_elsewhere_is_refused_in_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    raw = {ending: save(tmp_path / f"good{ending}", voxels).read_bytes() for ending in (".nrrd", ".mha", ".mhd")}
    for name, content, reason in [
        ("empty.nrrd", b"", "0 bytes"),
        ("text.nrrd", b"hello", "cannot be read"),
        ("text.mha", b"hello", "cannot be read"),
        ("cut.nrrd", raw[".nrrd"][:-10], "cut off"),
        ("cut.mha", raw[".mha"][:-10], "cut off"),
        ("huge.mhd", raw[".mhd"].replace(b"DimSize = 5 4 3", b"DimSize = 60000 50000 400"), "limit is 2 GiB"),
        ("elsewhere.mhd", raw[".mhd"].replace(b"= good.raw", b"= ../good.raw"), "../good.raw"),
        ("absolute.mhd", raw[".mhd"].replace(b"= good.raw", b"= /etc/passwd"), "/etc/passwd"),
        ("nul.mhd", raw[".mhd"].replace(b"= good.raw", b"= go\0d.raw"), "only one file in the same folder"),
        ("list.mhd", raw[".mhd"].replace(b"= good.raw", b"= LIST"), "LIST"),
        (
            "lost.mhd",
            raw[".mhd"].replace(b"= good.raw", b"= lost.raw"),
            "lost.mhd: its voxels are in a file beside it: lost.raw: the file is not there",
        ),
        ("away.nrrd", raw[".nrrd"].replace(b"encoding: raw", b"encoding: raw\ndata file: /etc/passwd"), "/etc/passwd"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CaseReadError) as refused:
            read_scan(tmp_path / name)
        assert reason in str(refused.value), name
        assert "\n" not in str(refused.value)
    four = sitk.JoinSeries([sitk.GetImageFromArray(voxels)] * 2)
    sitk.WriteImage(four, str(tmp_path / "4d.nrrd"))
    with pytest.raises(CaseReadError, match=r"holds 2 volumes .*--volume 0\.\.1"):
        read_scan(tmp_path / "4d.nrrd")
    save(tmp_path / "vector.nrrd", np.zeros((3, 4, 5, 2), np.uint8), is_vector=True)
    with pytest.raises(CaseReadError, match=r"holds 2 volumes \(values a voxel.*--volume 0\.\.1"):
        read_scan(tmp_path / "vector.nrrd")
    assert capfd.readouterr() == ("", "")


def test_nrrd_keeps_names_as_3d_slicer_has_them(tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path / "scan.nrrd", np.zeros((3, 4, 5), np.int16), np.eye(4)))
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 2, 3] = 2
    names = ["Leber ü", "a := b\nc\\n <img>"]
    write_labels(tmp_path / "labels.nrrd", labels, scan, names)
    image = sitk.ReadImage(str(tmp_path / "labels.nrrd"))
    kept = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("Segment")}
    assert kept["Segment0_Name"] == "Leber ü"
    assert kept["Segment1_LabelValue"] == "2"
    assert kept["Segment1_Extent"] == "0 4 0 3 0 2"
    assert kept["Segment1_Name"].startswith("a := b_c")
    np.testing.assert_array_equal(read_scan(tmp_path / "labels.nrrd").voxels, labels)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@given(affine=affines(), time=st.integers(0, 2))
def test_one_of_several_volumes_lies_where_all_do(
    ending: str, affine: F64, time: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("times") / f"times{ending}"
    volumes = [np.arange(60, dtype=np.int16).reshape(3, 4, 5) + 100 * number for number in range(3)]
    images = [sitk.ReadImage(str(save(path.with_name(f"one{ending}"), volume, affine))) for volume in volumes]
    sitk.WriteImage(sitk.JoinSeries(images), str(path))
    scan = read_scan(path, volume=time)
    np.testing.assert_array_equal(scan.voxels, volumes[time])
    np.testing.assert_allclose(place_of(scan), affine, atol=1e-3)
    write_labels(path.with_name(f"labels{ending}"), random_labels((3, 4, 5)), scan)
    np.testing.assert_allclose(place_of(read_scan(path.with_name(f"labels{ending}"))), affine, atol=1e-3)


def test_one_of_several_values_a_voxel_is_a_volume(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 99, (3, 4, 5, 2), np.uint8)
    path = save(tmp_path / "vector.nrrd", voxels, is_vector=True)
    np.testing.assert_array_equal(read_scan(path, volume=1).voxels, voxels[..., 1])
    with pytest.raises(CaseReadError, match="holds one volume, and there is no volume 1"):
        read_scan(save(tmp_path / "one.nrrd", voxels[..., 0]), volume=1)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"encoding: raw", b"encoding: TEXT", "its text has other words than numbers"),
        (b"encoding: raw", b"encoding: zrl", "its voxels are encoded as 'zrl'"),
        (b"NRRD0004", b"NRRD0006", "does not begin as NRRD does"),
        (b"type: short", b"type: complex", "its voxels are of the type 'complex'"),
        (b"endian: little", b"endian: little\n" + b"#\n" * 20_000, "more than 20,000 lines"),
        (b"endian: little\n", b"", "its header has no 'endian'"),
        (b"endian: little", b"endian: little\nkinds: complex domain domain", "of the kind 'complex'"),
        (b"endian: little", b"endian: little\nkinds: vector vector domain", "2 of its axes are values"),
        (
            b"endian: little",
            b"endian: little\nspace: LPS\nspace directions: none none none\nspacings: 1 1 1",
            "spacings",
        ),
        (b"endian: little", b"endian: little\nspace dimension: 2", "has 3 axes of voxels in a space of 2"),
        (b"endian: little", b"endian: little\nspcae: LPS", "its header has the line 'spcae: LPS', which NRRD has not"),
        (b"endian: little", b"endian: little\ntype: int", "has the field 'type' twice"),
        (b"sizes: 2 3 4", b"sizes: 2 3", "its header has '2 3' as 'sizes'"),
        (b"sizes: 2 3 4", b"sizes: 2 0 4", "declares 2 x 0 x 4 voxels"),
        (b"sizes: 2 3 4", b"sizes: 2 1_0 4", "its header has '1_0' as 'sizes'"),
        (b"endian: little", b"endian: little\n" + b"a:=b\n" * 20_000, "20,000 fields of its own"),
        (b"endian: little", b"endian: little\nunits: " + b"x" * 2000, "'units' of its header has 2,007 characters"),
        (b"dimension: 3", b"dimension: 200", "declares '200' axes"),
    ],
)
def test_headers_of_nrrd_that_nobody_writes_are_refused_with_what_is_wrong(
    before: bytes, after: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "odd.nrrd"
    plain = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 3 4\nendian: little\nencoding: raw\n\n" + bytes(48)
    path.write_bytes(plain)
    assert read_scan(path).shape == (4, 3, 2)
    path.write_bytes(plain.replace(before, after))
    with pytest.raises(CaseReadError, match=f"odd.nrrd: .*{reason}"):
        read_scan(path)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("colon.mha", b"ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile : %s\n"),
        (
            "long.mha",
            b"ObjectType = Image\n" + b"Comment = " + b"x" * 70_000 + b"\nNDims = 2\nDimSize = 2 2\n"
            b"ElementType = MET_UCHAR\nElementDataFile = %s\n",
        ),
        ("cr.nrrd", b"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nencoding: raw\rdata file: %s\n\n"),
        ("crs.nrrd", b"NRRD0004\rtype: uchar\rdimension: 2\rsizes: 2 2\rencoding: raw\rdata file: %s\r\r"),
    ],
)
def test_no_header_leads_to_a_file_elsewhere(name: str, head: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere" / "secret.raw"
    secret.parent.mkdir()
    secret.write_bytes(b"\1\2\3\4")
    path = tmp_path / name
    path.write_bytes(head.replace(b"%s", bytes(secret)))
    with pytest.raises(CaseReadError, match=f"^{name}: "):
        read_scan(path)


def test_three_values_a_voxel_are_a_colour_only_where_they_can_be_one(tmp_path: Path) -> None:
    several = np.arange(72, dtype=np.int16).reshape(2, 3, 4, 3)
    save(tmp_path / "v.nrrd", several, is_vector=True)
    with pytest.raises(CaseReadError, match=r"holds 3 volumes .*--volume 0\.\.2"):
        read_scan(tmp_path / "v.nrrd")
    np.testing.assert_array_equal(read_scan(tmp_path / "v.nrrd", volume=1).voxels, several[..., 1])
    save(tmp_path / "rgb.mha", several.astype(np.uint8), is_vector=True)
    assert read_scan(tmp_path / "rgb.mha").voxels.shape == (2, 3, 4, 3)
