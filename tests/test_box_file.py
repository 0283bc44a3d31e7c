"""Boxes out of files: on the voxels they mean, or refused with a sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats import write_labels
from repmedsam_infer.formats.boxes.file import boxes_from_labels, read_boxes
from repmedsam_infer.formats.boxes.kinds import MAX_BYTES
from repmedsam_infer.formats.boxes.space import box_of_mm
from repmedsam_infer.formats.dicom.seg import write_seg
from repmedsam_infer.formats.dicom.series import read_dicom
from repmedsam_infer.formats.scan import Scan
from tests.dicom_files import F64, affine_of, rotated, write_series

PICTURE = Scan("photo", np.zeros((40, 60)), False)
ANGLED = affine_of(rotated(), (0.7, 0.9, 2.5), (-103.25, 40.5, -512.125))
UPRIGHT = affine_of(np.eye(3), (0.5, 0.5, 2), (-100, -90, -300))
VOLUME = Scan("ct", np.zeros((20, 40, 60)), True, UPRIGHT)


def write(folder: Path, content: Any, name: str = "boxes.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refuse(path: Path, reason: str, scan: Scan = PICTURE, case_name: str = "photo") -> None:
    with pytest.raises(CaseReadError, match=reason) as caught:
        read_boxes(path, scan, case_name)
    assert str(caught.value).startswith(f"{path.name}: ")


@pytest.mark.parametrize(
    "content",
    [
        [[1, 2, 30, 20], {"box": [5, 5, 9, 9.5], "name": "liver"}],
        {"boxes": [[1, 2, 30, 20], {"box": [5, 5, 9, 9.5], "name": " liver "}]},
        {"space": "pixel", "boxes": [{"box": [1, 2, 30, 20]}, {"box": [5, 5, 9, 9.5], "name": "liver"}]},
        {"cases": {"photo": [[1, 2, 30, 20], {"box": [5, 5, 9, 9.5], "name": "liver"}], "other": [[0, 0, 1, 1]]}},
        {"cases": {"photo.png": {"boxes": [[1, 2, 30, 20], {"box": [5, 5, 9, 9.5], "name": "liver"}]}}},
        "x_min,y_min,x_max,y_max,name\n1,2,30,20,\n5,5,9,9.5,liver\n",
        "\ufeffname, X_Max, y_max, x_min, y_min\r\n,30,20,1,2\r\n\r\nliver,9,9.5,5,5\r\n",
        "case,x_min,y_min,x_max,y_max,name,space\nother,1,1,2,2,,\nphoto,1,2,30,20,,pixel\nphoto.png,5,5,9,9.5,liver,\n",
    ],
)
def test_every_way_of_writing_boxes_is_read_alike(content: Any, tmp_path: Path) -> None:
    path = write(tmp_path, content, "boxes.csv" if isinstance(content, str) else "boxes.json")
    boxes = read_boxes(path, PICTURE, "photo")
    np.testing.assert_array_equal(boxes.corners, [[1, 2, 30, 20], [5, 5, 9, 9.5]])
    assert boxes.corners.dtype == np.float64
    assert boxes.names == ["object 1", "liver"]


def test_volumes_have_boxes_of_six(tmp_path: Path) -> None:
    expected = [[1, 2, 3, 30, 20, 10]]
    csv = "x_min,y_min,z_min,x_max,y_max,z_max\n1,2,3,30,20,10\n"
    for path in (write(tmp_path, expected), write(tmp_path, expected[0], "one.json"), write(tmp_path, csv, "b.csv")):
        np.testing.assert_array_equal(read_boxes(path, VOLUME, "ct").corners, expected)


def test_a_box_on_one_slice_of_a_volume_is_open_ended(tmp_path: Path) -> None:
    mixed = [[1, 2, 3, 30, 20, 10], {"box": [4, 5, 20, 15], "slice": 7, "name": "liver"}]
    csv = "x_min,y_min,z_min,x_max,y_max,z_max,slice,name\n1,2,3,30,20,10,,\n4,5,,20,15,,7,liver\n"
    for path in (write(tmp_path, mixed), write(tmp_path, csv, "b.csv")):
        found = read_boxes(path, VOLUME, "ct")
        np.testing.assert_array_equal(found.corners, [[1, 2, 3, 30, 20, 10], [4, 5, 7, 20, 15, 7]])
        assert found.open_ended == {2}
        assert found.names == ["object 1", "liver"]
    alone = read_boxes(write(tmp_path, "x_min,y_min,x_max,y_max,slice\n4,5,20,15,7\n", "c.csv"), VOLUME, "ct")
    assert alone.open_ended == {1}
    in_mm = {"space": "mm", "boxes": [{"box": [-95, -85, -80, -75], "slice": 7}]}
    for content, reason in (
        (in_mm, "box 1 is in mm and names a slice, which is an index; give z in mm instead"),
        ([[1, 2, 30, 20]], "box 1 has 4 numbers; a box on a volume has 6 .*, or four and a slice"),
        ([{"box": [1, 2, 3, 30, 20, 10], "slice": 7}], "box 1 names a slice and has 6 numbers; four belong to it"),
        ([{"box": [1, 2, 30, 20], "slice": 700}], "is not on"),
    ):
        refuse(write(tmp_path, content), reason, VOLUME, "ct")
    followed = [[1, 2, 3, 30, 20, 10], {"box": [4, 5, 7, 20, 15, 7], "follow": True}, {"box": [4, 5, 7, 20, 15, 7]}]
    assert read_boxes(write(tmp_path, followed, "f.json"), VOLUME, "ct").open_ended == {2}
    refuse(
        write(tmp_path, [{"box": [4, 5, 7, 20, 15, 7], "follow": 1}]),
        "'follow' of box 1 is true or false",
        VOLUME,
        "ct",
    )
    both = "x_min,y_min,z_min,x_max,y_max,z_max,slice\n1,2,3,30,20,10,5\n"
    refuse(write(tmp_path, both, "d.csv"), "has a slice, and z_min or z_max", VOLUME, "ct")


@given(
    seed=st.integers(0, 10**6),
    spacing=st.tuples(*[st.floats(0.2, 6)] * 3),
    turn=st.permutations(range(3)),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    ends=st.tuples(*[st.tuples(st.integers(0, 19), st.integers(0, 19)).map(sorted)] * 3),
)
def test_faces_in_mm_are_the_voxels_they_enclose(
    seed: int, spacing: Any, turn: list[int], signs: tuple[int, ...], ends: Any
) -> None:
    """Of a volume along the patient's axes, however they are swapped and turned: exactly the voxels."""
    affine = affine_of(np.eye(3)[:, turn] * signs, spacing, (-50.0, 7.25, 300.0))
    first, last = np.array(ends).T
    faces = np.stack([first - 0.5, last + 0.5]) @ affine[:3, :3].T + affine[:3, 3]
    low, high = box_of_mm(faces.min(0), faces.max(0), affine)
    np.testing.assert_allclose(low, first, atol=1e-9)
    np.testing.assert_allclose(high, last, atol=1e-9)


@given(seed=st.integers(0, 10**6), low=st.tuples(*[st.floats(-20, 20)] * 3), sides=st.tuples(*[st.floats(9, 30)] * 3))
def test_an_oblique_box_of_voxels_holds_the_box_in_mm_and_no_more(seed: int, low: Any, sides: Any) -> None:
    affine = affine_of(rotated(seed), (0.8, 0.9, 1.5), (1.0, 2.0, 3.0))
    corner = np.array(low)
    first, last = box_of_mm(corner, corner + sides, affine)
    assume((last > first).all())
    inside = np.random.default_rng(seed).uniform(corner, corner + sides, (500, 3))
    corners = np.array(np.meshgrid(*zip(corner, corner + sides, strict=True))).reshape(3, -1).T
    indices = (np.vstack([inside, corners]) - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    assert (indices >= first - 0.5 - 1e-9).all()
    assert (indices <= last + 0.5 + 1e-9).all()
    np.testing.assert_allclose(indices.min(0), first - 0.5, atol=1e-9)
    np.testing.assert_allclose(indices.max(0), last + 0.5, atol=1e-9)


def test_mm_from_a_file_land_on_voxels(tmp_path: Path) -> None:
    box = [-100.25 + 5, -90.25 + 10, -301 + 6, -99.75 + 10, -89.75 + 15, -299 + 12]
    expected = [[10, 20, 3, 20, 30, 6]]
    paths = [
        write(tmp_path, {"space": "mm", "boxes": [box]}),
        write(tmp_path, f"x_min,y_min,z_min,x_max,y_max,z_max,space\n{','.join(map(str, box))},mm\n", "b.csv"),
    ]
    for path in paths:
        np.testing.assert_allclose(read_boxes(path, VOLUME, "ct").corners, expected)


def test_what_is_thinner_than_a_voxel_is_the_voxel_it_lies_in() -> None:
    low, high = box_of_mm(np.array([-95.1, -80, -300.2]), np.array([-95.0, -70, -299.9]), UPRIGHT)
    np.testing.assert_allclose((low[0], high[0]), [(-95.05 + 100) / 0.5] * 2)
    np.testing.assert_allclose((low[2], high[2]), [-0.025] * 2)


def test_boxes_in_the_wrong_space_are_refused_with_the_images_range(tmp_path: Path) -> None:
    in_mm = [[-95, -80, -295, -90, -75, -285]]
    refuse(
        write(tmp_path, in_mm),
        r"box 1 \[-95 .*\] is not on ct, which reaches x 0 to 59, y 0 to 39, z 0 to 19 in pixel; is it in mm, or of an",
        VOLUME,
        "ct",
    )
    in_pixels = {"space": "mm", "boxes": [[10, 20, 3, 20, 30, 6]]}
    refuse(
        write(tmp_path, in_pixels),
        r"which reaches x -100.25 to -70.25, y -90.25 to -70.25, z -301 to -261 in mm; is it in pixels",
        VOLUME,
        "ct",
    )
    refuse(write(tmp_path, [[-30, 0, 30, 20]]), r"is not on photo, which reaches x 0 to 59")
    refuse(
        write(tmp_path, {"space": "mm", "boxes": [[0, 0, 30, 20]]}), "is in mm, and photo has no place in space; use"
    )
    over_the_edge = read_boxes(write(tmp_path, [[-3, 0, 61, 41]]), PICTURE, "photo")
    np.testing.assert_array_equal(over_the_edge.corners, [[-3, 0, 61, 41]])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, r"is not valid JSON \(nested too deeply\)"),
        ('{"a": ' * 100_000, r"is not valid JSON \(nested too deeply\)"),
        ("[[1, 2, NaN, 4]]", "holds NaN; finite numbers are needed"),
        ("[[1, 2, -Infinity, 4]]", "holds -Infinity"),
        ("[[1, 2, 1e999, 4]]", "box 1 is not finite"),
        (f"[[1, 2, {'9' * 400}, 4]]", "box 1 is not finite"),
        (f"[[1, 2, {'9' * 5000}, 4]]", "is not valid JSON"),
        ('[[1, 2, "30", 4]]', "box 1 is not a list of 4 numbers"),
        ("[[1, 2, true, 4]]", "box 1 is not a list of 4 numbers"),
        ("[[1, 2, null, 4]]", "box 1 is not a list of 4 numbers"),
        ('["liver"]', "box 1 is not a list of 4 numbers"),
        ("[[0, 0, 3, 3], [1, 2, 3]]", r"box 2 has 3 numbers; a box on a picture has 4 \(x_min, y_min, x_max, y_max\)"),
        ("[[1, 2, 3, 4, 5, 6]]", "box 1 has 6 numbers; a box on a picture has 4"),
        ("[[30, 2, 1, 4]]", r"box 1 \[30 2 1 4\] ends before it begins \(order: x_min.*: write \[1, 2, 30, 4\]"),
        ("[]", "there are no boxes in it for photo"),
        ("7", "a list of boxes or .* is needed for photo"),
        ('{"box": [1, 2, 3, 4]}', "a list of boxes or .* is needed"),
        ('{"boxes": {"liver": [1, 2, 3, 4]}}', "'boxes' is not a list"),
        ('{"boxes": [[1, 2, 3, 4]], "units": "mm"}', "'units' in a list of boxes is unknown"),
        ('{"boxes": [[1, 2, 3, 4]], "space": "cm"}', "the space of the boxes is 'cm'; 'pixel' or 'mm' is needed"),
        ('{"boxes": [[1, 2, 3, 4]], "boxes": []}', "'boxes' is there twice"),
        ('[{"box": [1, 2, 3, 4], "label": "a"}]', "'label' in box 1 is unknown"),
        ('[{"box": [1, 2, 3, 4], "name": 7}]', "the name of box 1 is not a text"),
        ('[{"box": [1, 2, 3, 4], "name": "a\\u0000"}]', "the name of box 1 is longer than 200 or not printable"),
        ('[{"box": [1, 2, 3, 4], "slice": 5}]', "box 1 names a slice, and the image is a picture"),
        ('[{"box": [1, 2, 3, 4], "follow": true}]', "true on volumes alone"),
        ('[{"box": [1, 2, 3, 4], "slice": "5"}]', "the slice of box 1 is not a number"),
        ('{"cases": [1]}', "'cases' is not an object"),
        ('{"cases": {"a": [], "b": []}}', r"has no boxes for photo \(it has some for: a, b\)"),
        ('{"cases": {"photo": []}, "space": "mm"}', "'space' in the file is unknown"),
    ],
)
def test_bad_json_is_refused_with_a_sentence(content: str, reason: str, tmp_path: Path) -> None:
    refuse(write(tmp_path, content), reason)


HEADER = "x_min,y_min,x_max,y_max"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", r"is empty \(0 bytes\)"),
        ("\n", "the column x_min is missing"),
        (f"{HEADER}\n", "there are no boxes in it for photo"),
        (f"{HEADER}\n1,2,3\n", "row 2 has 3 values; 4 are needed"),
        (f"{HEADER}\n\n1,2,x,4\n", "x_max of the box in row 3 is 'x', not a number"),
        (f"{HEADER}\n1,2,,4\n", "x_max of the box in row 2 is '', not a number"),
        (f"{HEADER}\n1,2,1_0,4\n", "is '1_0', not a number"),
        (f"{HEADER}\n1,2,nan,4\n", "the box in row 2 is not finite"),
        (f"{HEADER},colour\n1,2,3,4,red\n", "the column 'colour' is unknown"),
        (f"{HEADER},x_min\n1,2,3,4,5\n", "the column 'x_min' is unknown or there twice"),
        (f"{HEADER},z_min\n1,2,3,4,5\n", "has a z, and photo is a picture"),
        (f"{HEADER},space\n1,2,3,4,inch\n", "the space of the box in row 2 is 'inch'"),
        (f"{HEADER},case\n1,2,3,4,a\n", r"has no boxes for photo \(it has some for: a\)"),
        (f'{HEADER}\n1,2,3,"4\n', "is not valid CSV"),
    ],
)
def test_bad_csv_is_refused_with_a_sentence(content: str, reason: str, tmp_path: Path) -> None:
    refuse(write(tmp_path, content, "boxes.csv"), reason)


def test_files_that_are_no_box_files_are_refused(tmp_path: Path) -> None:
    refuse(write(tmp_path, [[1, 2, 3, 4, 5, 6]]), "box 1 has|outside", PICTURE)
    refuse(
        write(tmp_path, [[1, 2, 3, 4]]), r"box 1 has 4 numbers; a box on a volume has 6 \(x_min, y_min, z_min", VOLUME
    )
    refuse(write(tmp_path, "1", "boxes.txt"), "boxes are read from .json .*, .csv and .tsv files")
    refuse(write(tmp_path, "1", "labels.nii.gz"), "boxes are read from .*; a label map is for --boxes-from")
    refuse(tmp_path / "gone.json", "not there")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    refuse(tmp_path / "bytes.json", "is not a text file in UTF-8")
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    refuse(tmp_path / "large.json", "is larger than 16 MiB")
    refuse(write(tmp_path, [[0, 0, 1, 1]] * 65_536), "65536 boxes; at most 65535")
    (tmp_path / "folder.json").mkdir()
    refuse(tmp_path / "folder.json", "not a regular file")


@given(junk=st.text(max_size=200))
def test_junk_is_refused_never_crashed_on(junk: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("junk")
    for name in ("a.json", "a.csv"):
        (folder / name).write_bytes(junk.encode("utf-8", "surrogatepass"))
        with pytest.raises(CaseReadError, match=name):
            read_boxes(folder / name, PICTURE, "photo")


# ---- boxes of label maps


def labels_3d() -> np.ndarray:
    labels = np.zeros((5, 6, 8), np.uint8)
    labels[1:3, 2:5, 3:7] = 3
    labels[4, 0, 0] = 1
    labels[1, 5, 7] = 1
    return labels


BOXES_3D = [[0, 0, 1, 7, 5, 4], [3, 2, 1, 6, 4, 2]]


def boxes_of(monkeypatch: pytest.MonkeyPatch, label_map: Scan, scan: Scan) -> Any:
    monkeypatch.setattr("repmedsam_infer.formats.read_scan", lambda _: label_map, raising=False)
    return boxes_from_labels(Path(f"{label_map.name}.nii"), scan)


def test_boxes_of_a_label_map_are_tight(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = Scan("mr", np.zeros((5, 6, 8)), True, ANGLED)
    boxes = boxes_of(monkeypatch, Scan("labels", labels_3d().astype(np.float64), True, ANGLED + 1e-4), scan)
    np.testing.assert_array_equal(boxes.corners, BOXES_3D)
    assert boxes.names == ["label 1", "label 3"]
    nowhere = boxes_of(monkeypatch, Scan("labels", labels_3d(), True), scan)
    np.testing.assert_array_equal(nowhere.corners, BOXES_3D)
    flat = Scan("labels", np.repeat(labels_3d()[1][..., None], 3, -1), False)
    np.testing.assert_array_equal(
        boxes_of(monkeypatch, flat, Scan("photo", np.zeros((6, 8, 3)), False)).corners, [[7, 5, 7, 5], [3, 2, 6, 4]]
    )


@given(axes=st.permutations(range(3)), backwards=st.tuples(*[st.booleans()] * 3), seed=st.integers(0, 10**6))
def test_a_label_map_of_the_same_voxels_in_another_order_is_turned_exactly(
    axes: list[int], backwards: tuple[bool, ...], seed: int
) -> None:
    affine = affine_of(rotated(seed), (0.7, 0.9, 2.5), (-103.25, 40.5, -512.125))
    array, turned = turn(labels_3d(), affine, axes, backwards)
    with pytest.MonkeyPatch.context() as monkeypatch:
        boxes = boxes_of(
            monkeypatch, Scan("labels", array, True, turned), Scan("mr", np.zeros((5, 6, 8)), True, affine)
        )
    np.testing.assert_array_equal(boxes.corners, BOXES_3D)


def turn(array: np.ndarray, affine: F64, axes: list[int], backwards: tuple[bool, ...]) -> tuple[np.ndarray, F64]:
    """The same voxels with index axes (x, y, z) swapped and turned, found voxel by voxel."""
    sides = np.array(array.shape[::-1])
    new_sides = sides[axes]
    index = np.eye(4)  # new indices to old ones
    index[:3, :3] = 0
    for new, old in enumerate(axes):
        index[old, new] = -1 if backwards[new] else 1
        index[old, 3] = sides[old] - 1 if backwards[new] else 0
    out = np.zeros(tuple(new_sides[::-1]), array.dtype)
    for x, y, z in np.ndindex(*new_sides.tolist()):
        i, j, k = (index @ [x, y, z, 1])[:3].astype(int)
        out[z, y, x] = array[k, j, i]
    return out, affine @ index


def test_a_label_map_that_was_cut_out_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    array, affine = turn(labels_3d(), ANGLED, [2, 0, 1], (True, True, False))  # indices z x y, z and x backwards
    x, y, z = 1, 2, 2  # how much is cut off at the low end of each axis
    cut = affine.copy()
    cut[:3, 3] += affine[:3, :3] @ [x, y, z]
    array = array[z:, y:, x:]
    boxes = boxes_of(monkeypatch, Scan("labels", array, True, cut), Scan("mr", np.zeros((5, 6, 8)), True, ANGLED))
    whole = np.zeros((5, 6, 8), np.uint8)
    whole[: 5 - x, z:, : 8 - y] = labels_3d()[: 5 - x, z:, : 8 - y]
    expected = boxes_of(monkeypatch, Scan("labels", whole, True), Scan("mr", whole, True))
    np.testing.assert_array_equal(boxes.corners, expected.corners)


def seg_of(tmp_path: Path, scan: Scan) -> Path:
    write_seg(tmp_path / "seg.dcm", labels_3d(), scan, ["tip", "", "liver"])
    return tmp_path / "seg.dcm"


def test_the_segments_of_a_seg_are_boxes_with_names(tmp_path: Path) -> None:
    scan = read_dicom(write_series(tmp_path / "images", labels_3d().astype(np.int16), ANGLED))
    boxes = boxes_from_labels(seg_of(tmp_path, scan), scan)
    np.testing.assert_array_equal(boxes.corners, BOXES_3D)
    assert boxes.names == ["tip", "liver"]
    array, affine = turn(labels_3d(), ANGLED, [1, 0, 2], (True, False, True))
    turned = Scan("nifti", array, True, affine)
    expected = [
        [*np.argwhere(array == label)[:, ::-1].min(0), *np.argwhere(array == label)[:, ::-1].max(0)] for label in (1, 3)
    ]
    np.testing.assert_array_equal(boxes_from_labels(tmp_path / "seg.dcm", turned).corners, expected)


def test_a_seg_of_another_image_is_refused(tmp_path: Path) -> None:
    scan = read_dicom(write_series(tmp_path / "images", labels_3d().astype(np.int16), ANGLED))
    path = seg_of(tmp_path, scan)
    aside, smaller = ANGLED.copy(), Scan("mr", np.zeros((5, 6, 7)), True, ANGLED)
    aside[0, 3] += 0.3
    for other in (Scan("mr", np.zeros((5, 6, 8)), True, aside), smaller):
        with pytest.raises(CaseReadError, match="seg.dcm: its voxels in frame . do not lie on those of mr"):
            boxes_from_labels(path, other)
    with pytest.raises(CaseReadError, match="seg.dcm: its frames of 6 x 8 pixels cannot be laid on mr"):
        boxes_from_labels(path, Scan("mr", np.zeros((5, 6, 8)), True))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CaseReadError, match="seg.dcm: .*cut off"):
        boxes_from_labels(path, scan)


def test_label_maps_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = Scan("mr", np.zeros((5, 6, 8)), True, ANGLED)

    def refuse(reason: str, voxels: Any, affine: F64 | None = ANGLED, scan: Scan = scan) -> None:
        with pytest.raises(CaseReadError, match=f"labels.*{reason}"):
            boxes_of(monkeypatch, Scan("labels", voxels, voxels.ndim > 2 and voxels.shape[-1] != 3, affine), scan)

    labels = labels_3d()
    elsewhere, scaled, tilted = ANGLED.copy(), ANGLED.copy(), ANGLED.copy()
    elsewhere[0, 3] += 0.2
    scaled[:3, :3] *= 1.1
    tilted[:3, :3] = affine_of(rotated(5), (0.7, 0.9, 2.5), (0, 0, 0))[:3, :3]
    for affine in (elsewhere, scaled, tilted):
        refuse("does not lie on the voxels of mr: 8 x 6 x 5 voxels of .* resample it", labels, affine)
    beyond = ANGLED.copy()
    beyond[:3, 3] += ANGLED[:3, 2]
    refuse("does not lie on the voxels of mr", labels, beyond)
    refuse(r"has shape \(4, 6, 8\) and mr \(5, 6, 8\)", labels[:4], None)
    refuse("there are no labels in it", labels * 0)
    refuse("no whole numbers; is it an image", labels + 0.5)
    refuse("no whole numbers", np.where(labels > 0, np.nan, 0))
    refuse("values from -1 to 2; labels are 0 to 65535", labels.astype(np.int16) - 1)
    refuse("values from 0 to 300000", labels.astype(np.int64) * 100_000)
    colours = np.zeros((6, 8, 3), np.uint8)
    colours[2, 2] = (255, 0, 0)
    refuse("is coloured", colours, None, PICTURE)


def test_the_labels_of_a_dicom_volume_are_found_from_either_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real reader's affine on one side, the same volume from the other end and turned in plane on the other."""
    scan = read_dicom(write_series(tmp_path / "images", labels_3d().astype(np.int16), ANGLED))
    array, affine = turn(labels_3d(), ANGLED, [1, 0, 2], (True, False, True))
    np.testing.assert_array_equal(boxes_of(monkeypatch, Scan("labels", array, True, affine), scan).corners, BOXES_3D)


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha", "dcm"])
def test_label_maps_of_every_format_lie_on_the_dicom_volume_they_were_made_of(ending: str, tmp_path: Path) -> None:
    scan = read_dicom(write_series(tmp_path / "images", np.zeros((5, 6, 8), np.int16), ANGLED, order=[3, 0, 4, 1, 2]))
    write_labels(tmp_path / f"labels.{ending}", labels_3d(), scan)
    np.testing.assert_array_equal(boxes_from_labels(tmp_path / f"labels.{ending}", scan).corners, BOXES_3D)
