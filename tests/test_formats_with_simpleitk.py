"""NRRD and MetaImage against SimpleITK, the reference, and pynrrd: what one writes the other reads, voxel for voxel."""

from collections.abc import Sequence
from pathlib import Path

import nrrd as pynrrd
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats import read_scan, write_labels
from repmedsam_infer.formats.scan import Scan
from tests.fuzz.headers import RAW, meta, nrrd
from tests.scans import affines

F64 = NDArray[np.float64]
TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
CLOSE = 1e-6
SimpleITK.ProcessObject.GlobalWarningDisplayOff()


def voxels_of(shape: Sequence[int], code: str, seed: int) -> NDArray[np.generic]:
    """Every bit pattern of whole numbers; floats over many magnitudes."""
    draw = np.random.default_rng(seed)
    dtype = np.dtype(code)
    if dtype.kind == "f":
        return (draw.normal(size=shape) * 10.0 ** draw.integers(-20, 20, shape)).astype(dtype)
    return np.frombuffer(draw.bytes(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)


def place(image: SimpleITK.Image, affine: F64, axes: int) -> None:
    """Let an image of 2 or 3 axes lie where an affine in LPS says."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / spacing
    if axes == 2:
        direction = np.linalg.qr(direction[:2, :2] + 2 * np.eye(2))[0]
    image.SetSpacing(spacing[:axes].tolist())
    image.SetOrigin(affine[:axes, 3].tolist())
    image.SetDirection(direction.ravel().tolist())


def check_same(scan: Scan, image: SimpleITK.Image) -> None:
    """Check that an image of SimpleITK has the voxels of a scan, where they lie."""
    expected = SimpleITK.GetArrayFromImage(image)
    assert scan.voxels.dtype == expected.dtype
    np.testing.assert_array_equal(scan.voxels, expected)
    check_same_place(scan, image)


def check_same_place(scan: Scan, image: SimpleITK.Image) -> None:
    for ours, theirs in (("origin", "GetOrigin"), ("spacing", "GetSpacing"), ("direction", "GetDirection")):
        np.testing.assert_allclose(getattr(scan.source, ours), getattr(image, theirs)(), atol=CLOSE, rtol=0)
    if scan.is_volume:
        assert scan.affine is not None
        corner = [side - 1 for side in scan.shape[::-1]]
        there = image.TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose((scan.affine @ [*corner, 1])[:3], there, atol=CLOSE, rtol=0)


@given(
    affine=affines(),
    code=st.sampled_from(TYPES),
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=3),
    ending=st.sampled_from([".nrrd", ".mha", ".mhd", ".nhdr"]),
    is_packed=st.booleans(),
    seed=st.integers(0, 9),
)
def test_what_simpleitk_writes_is_read(
    affine: F64,
    code: str,
    shape: list[int],
    ending: str,
    is_packed: bool,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("read") / f"image{ending}"
    image = SimpleITK.GetImageFromArray(voxels_of(shape, code, seed))
    place(image, affine, len(shape))
    SimpleITK.WriteImage(image, str(path), useCompression=is_packed)
    check_same(read_scan(path), image)


@given(
    affine=affines(),
    code=st.sampled_from(TYPES),
    values=st.integers(1, 4),
    times=st.integers(1, 3),
    ending=st.sampled_from([".nrrd", ".mha"]),
    is_packed=st.booleans(),
    data=st.data(),
)
def test_each_of_several_volumes_is_read(
    affine: F64,
    code: str,
    values: int,
    times: int,
    ending: str,
    is_packed: bool,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Times in a fourth axis, or values of a voxel."""
    path = tmp_path_factory.mktemp("several") / f"image{ending}"
    shape = (3, 4, 5) if values == 1 else (3, 4, 5, values)
    images = []
    for time in range(times):
        image = SimpleITK.GetImageFromArray(voxels_of(shape, code, time), isVector=values > 1)
        place(image, affine, 3)
        images.append(image)
    is_colour = values == 3 and code == "u1"
    in_time = values == 1 or is_colour
    image = SimpleITK.JoinSeries(images) if in_time else images[0]
    SimpleITK.WriteImage(image, str(path), useCompression=is_packed)
    number = data.draw(st.integers(0, times - 1 if in_time else values - 1))
    scan = read_scan(path, volume=number)
    check_same(scan, images[number] if in_time else SimpleITK.VectorIndexSelectionCast(images[0], number))


@given(
    affine=affines(),
    code=st.sampled_from(["u1", "u2"]),
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=3),
    source=st.sampled_from([".nrrd", ".mha"]),
    ending=st.sampled_from([".nrrd", ".mha", ".seg.nrrd"]),
    names=st.one_of(st.none(), st.lists(st.text(max_size=8), min_size=1, max_size=3)),
)
def test_what_is_written_simpleitk_reads(
    affine: F64,
    code: str,
    shape: list[int],
    source: str,
    ending: str,
    names: list[str] | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("written")
    image = SimpleITK.GetImageFromArray(np.zeros(shape, np.int16))
    place(image, affine, len(shape))
    SimpleITK.WriteImage(image, str(folder / f"image{source}"))
    scan = read_scan(folder / f"image{source}")
    labels = voxels_of(shape, code, 0)
    path = folder / f"labels{ending}"
    write_labels(path, labels, scan, names)
    written = SimpleITK.ReadImage(str(path))
    if ending == ".seg.nrrd" and len(shape) == 2:
        written = written[:, :, 0]
    check_same(Scan("labels", labels, scan.is_volume, scan.affine, source=scan.source), written)
    np.testing.assert_array_equal(read_scan(path).voxels.reshape(shape), labels)


@given(
    code=st.sampled_from(TYPES),
    encoding=st.sampled_from(["raw", "gzip", "bzip2", "ascii"]),
    is_detached=st.booleans(),
    affine=affines(),
)
def test_what_pynrrd_writes_is_read_and_what_is_written_it_reads(
    code: str, encoding: str, is_detached: bool, affine: F64, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pynrrd") / ("v.nhdr" if is_detached else "v.nrrd")
    voxels = voxels_of((3, 4, 5), code, 0)
    header = {
        "space": "left-posterior-superior",
        "space directions": affine[:3, :3].T,
        "space origin": affine[:3, 3],
        "encoding": encoding,
    }
    pynrrd.write(str(path), voxels, header, index_order="C")
    scan = read_scan(path)
    assert scan.affine is not None
    if encoding == "ascii" and np.dtype(code).itemsize == 8:  # text goes by 64-bit floats, as in ITK
        np.testing.assert_allclose(scan.voxels.astype(np.float64), voxels.astype(np.float64), rtol=1e-15)
    else:
        np.testing.assert_array_equal(scan.voxels, voxels)
    np.testing.assert_allclose(scan.affine, affine, atol=CLOSE)
    labels = voxels_of((3, 4, 5), "u2", 0)
    write_labels(path.with_name("labels.nrrd"), labels, scan)
    found, fields = pynrrd.read(str(path.with_name("labels.nrrd")), index_order="C")
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_allclose(fields["space directions"].T, affine[:3, :3], atol=CLOSE)
    np.testing.assert_allclose(fields["space origin"], affine[:3, 3], atol=CLOSE)


def agree(path: Path, content: bytes) -> bool:
    """Whether a file was read; checks that SimpleITK reads the same, or refuses it, too."""
    path.write_bytes(content)
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        image = None
    try:
        scan = read_scan(path)
    except CaseReadError as error:
        assert image is None, f"{error} of {content[:-120]!r}"
        return False
    assert image is not None, content
    check_same(scan, image)
    return True


VECTOR = st.tuples(*[st.sampled_from(["0", "1", "-2", "0.5", "3e1"])] * 3).map(lambda v: f"({','.join(v)})")
STEPS = st.sampled_from(
    ["(2,0,0) (0,3,0) (0,0,4)", "(0,-2,0) (0,0,3) (1,0,0)", "(.6,.8,0) (-.8,.6,0) (0,0,-5)", "(1,0,0)(0,1,0)(0,0,1)"]
)
SPACES = (
    *(
        "left-posterior-superior",
        "LPS",
        "RAS",
        "right anterior superior",
        "LAS",
        "Left-Anterior-Superior",
        "scanner-xyz",
    ),
    *("3D-right-handed", "3D-left-handed", "leftposteriorsuperior"),
)
NUMBERS = st.sampled_from(["1", "-2", "0.5", "3e1"])
THREE = st.lists(NUMBERS, min_size=3, max_size=3).map(" ".join)
UNKNOWN = st.lists(st.one_of(NUMBERS, st.just("nan")), min_size=3, max_size=3).map(" ".join)
NRRD_FIELDS = st.one_of(
    st.tuples(
        st.sampled_from(SPACES).map("space: {}\n".format),
        st.one_of(st.just(""), STEPS.map("space directions: {}\n".format)),
        st.one_of(st.just(""), VECTOR.map("space origin: {}\n".format)),
    ),
    st.tuples(
        st.one_of(st.just(""), UNKNOWN.map("spacings: {}\n".format)),
        st.one_of(st.just(""), THREE.map("axis mins: {}\n".format)),
        st.one_of(st.just(""), THREE.map("axis maxs: {}\n".format)),
        st.lists(st.sampled_from(["node", "cell", "???"]), min_size=3, max_size=3).map(
            lambda centers: f"centerings: {' '.join(centers)}\n"
        ),
    ),
)


@given(fields=NRRD_FIELDS)
def test_a_header_of_nrrd_says_to_both_where_voxels_lie(
    fields: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("nrrd") / "v.nrrd"
    assert agree(path, nrrd(RAW, more="".join(fields)))


MATRICES = st.sampled_from(["1 0 0 0 1 0 0 0 1", "0 -1 0 1 0 0 0 0 -1", "0.6 0.8 0 -0.8 0.6 0 0 0 2"])
META_FIELDS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["TransformMatrix", "Rotation", "Orientation"]), MATRICES),
        st.tuples(st.sampled_from(["Offset", "Position", "Origin", "ImagePosition", "ElementSpacing"]), THREE),
        st.tuples(st.just("ElementSize"), THREE),
        st.sampled_from([("CenterOfRotation", "7 8 9"), ("AnatomicalOrientation", "LPI"), ("Comment", "a = b")]),
    ),
    max_size=6,
).map(lambda fields: "".join(f"{name} = {value}\n" for name, value in fields))


@given(fields=META_FIELDS)
def test_a_header_of_metaimage_says_to_both_where_voxels_lie(
    fields: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("meta") / "v.mha"
    assert agree(path, meta(RAW, fields))


@pytest.mark.parametrize(
    ("kinds", "sizes", "shape"),
    [
        ("vector domain domain domain", "3 5 4 1", (1, 4, 5, 3)),
        ("RGB-color domain domain domain", "3 5 4 1", (1, 4, 5, 3)),
        ("domain domain domain RGB-color", "5 4 1 3", (1, 4, 5, 3)),
        ("domain 3-color domain", "5 3 4", (4, 5, 3)),
        ("domain list domain", "5 1 12", (12, 5)),
        ("??? none space", "5 4 3", (3, 4, 5)),
        ("domain domain time", "5 4 3", (3, 4, 5)),
    ],
)
def test_kinds_say_to_both_which_axis_is_of_values(
    kinds: str, sizes: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    assert agree(tmp_path / "v.nrrd", nrrd(RAW[:60], more=f"kinds: {kinds}\n", sizes=sizes, kind="uchar"))
    assert read_scan(tmp_path / "v.nrrd").voxels.shape == shape


@pytest.mark.parametrize(
    "more",
    [
        "space: RAS\nspacings: 1 1 1\n",
        "space: elsewhere\n",
        "space dimension: 2\n",
        "kinds: complex domain domain\n",
        "kinds: domain domain\n",
        "kinds: 3D-masked-symmetric-matrix domain domain\n",
        "spacings: 0 1 1\n",
        "spacings: 1 1\n",
        "space: LPS\nspace directions: (1,0,0) (0,1,0)\n",
        "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0)\n",
        "space: LPS\nspace directions: (0,0,0) (0,1,0) (0,0,1)\n",
        "space: LPS\nspace origin: (1,nan,1)\n",
        "encoding: raw\n",
        "what: 3\n",
        "byte skip: 999\n",
        "line skip: 999\n",
        "encoding: zrl\n",
    ],
)
def test_headers_of_nrrd_that_contradict_themselves_are_refused_by_both(more: str, tmp_path: Path) -> None:
    assert not agree(tmp_path / "v.nrrd", nrrd(RAW, more=more))
