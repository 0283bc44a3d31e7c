"""Images and masks as people have them become training cases: every object, in its place, each patient in one part."""

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from repmedsam_infer.case import read_case
from repmedsam_infer.evaluation.evaluate import read_ground_truth
from repmedsam_infer.formats.scan import Scan
from repmedsam_train.cases.make import Made
from repmedsam_train.cases.objects import Marking, colours_to_numbers, objects_on, parts_of
from repmedsam_train.data.reduction import reduced_labels, reduced_shape
from tests.conftest import good_image
from tests.scans import affines

nib = pytest.importorskip("nibabel")
pytest.importorskip("torch")

from repmedsam_train.cli import app, main  # noqa: E402

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]
ON_DISK = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["cases", *map(str, arguments)])


def picture(path: Path, pixels: NDArray[Any]) -> Path:
    """Write grey levels, or colours as RGB."""
    path.parent.mkdir(exist_ok=True, parents=True)
    cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    return path


def volume(path: Path, voxels: NDArray[Any], affine: F64) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    nib.save(nib.Nifti1Image(voxels.T, affine), path)
    return path


def two_discs(shape: tuple[int, int] = (40, 60), values: tuple[int, int] = (255, 255)) -> U8:
    """Two discs of one size, apart."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, np.uint8)
    for value, centre in zip(values, (14, 44), strict=True):
        mask[np.hypot(y - 20, x - centre) < 9] = value
    return mask


def table(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def groups_in(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["case"]: row["group"] for row in csv.DictReader(file)}


def arrays_of(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as arrays:
        return dict(arrays)


def check_boxes(gts: NDArray[np.integer], boxes: NDArray[np.integer]) -> None:
    """Labels are 1..N without gaps, and box i is the extent of label i + 1."""
    np.testing.assert_array_equal(np.unique(gts[gts > 0]), np.arange(1, len(boxes) + 1))
    for label, box in enumerate(boxes.tolist(), 1):
        where = np.argwhere(gts == label)
        assert [*where.min(0)[::-1], *where.max(0)[::-1]] == box


@ON_DISK
@given(
    gts=hnp.arrays(
        np.uint8, st.tuples(st.integers(2, 30), st.integers(2, 30)), elements=st.sampled_from([0, 0, 3, 9, 200])
    )
)
def test_labels_and_boxes_survive(gts: U8, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    picture(folder / "images" / "a_1.png", good_image(*gts.shape))
    picture(folder / "labels" / "a_1.png", gts)
    done = run(folder / "images", folder / "labels", "-o", folder / "my", "--modality", "us")
    usable = [label for label in (3, 9, 200) if (gts == label).sum() > 1]
    path = folder / "my" / "2DBox_US_my_a-1.npz"
    assert path.exists() == bool(usable) == (done.exit_code == 0), done.output
    if usable:
        made = arrays_of(path)
        np.testing.assert_array_equal(made["gts"], sum((gts == label) * i for i, label in enumerate(usable, 1)))
        np.testing.assert_array_equal(made["imgs"], good_image(*gts.shape))
        check_boxes(made["gts"], made["boxes"])
        case, (truth, _) = read_case(path), read_ground_truth(path)
        assert len(case.boxes.labels) == len(usable)
        np.testing.assert_array_equal(truth, made["gts"])


@ON_DISK
@given(affine=affines(), other=st.integers(0, 7))
def test_volumes_in_any_orientation(affine: F64, other: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The label map may be stored in another order than the image; both come out in the slices' order."""
    folder = tmp_path_factory.mktemp("volumes")
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1:3, 1:4, 0:3], labels[3, 4:, 3:6] = 3, 9
    voxels = np.where(labels > 0, labels.astype(np.int16) * 100, np.arange(210, dtype=np.int16).reshape(5, 6, 7) % 50)
    volume(folder / "images" / "p1_0000.nii.gz", voxels, affine)
    flips = [axis for axis in range(3) if other >> axis & 1]
    stored = affine.copy()
    for axis in flips:
        stored[:3, 3] += affine[:3, axis] * (voxels.shape[2 - axis] - 1)
        stored[:3, axis] *= -1
    volume(folder / "labels" / "p1.nii.gz", np.flip(labels, tuple(2 - axis for axis in flips)), stored)
    done = run(folder / "images", folder / "labels", "-o", folder / "my", "--modality", "MR")
    assert done.exit_code == 0, done.output
    made = arrays_of(folder / "my" / "3DBox_MR_my_p1-0000.npz")
    check_boxes(made["gts"], made["boxes"])
    assert sorted(np.bincount(made["gts"].ravel())[1:]) == [6, 18]
    assert made["imgs"][made["gts"] == 1].min() > made["imgs"][made["gts"] == 0].max()
    assert sorted(made["spacing"]) == pytest.approx(sorted(np.linalg.norm(affine[:3, :3], axis=0)), rel=1e-4)


def test_parts_of_a_mask_are_objects(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "x.png", good_image())
    picture(tmp_path / "masks" / "x_segmentation.png", two_discs())
    assert run(tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "one").exit_code == 0
    assert len(arrays_of(tmp_path / "one" / "2DBox_unknown_one_x.npz")["boxes"]) == 1
    done = run(tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "two", "--objects")
    assert "2DBox_unknown_two_x.npz: 2 objects" in done.output
    made = arrays_of(tmp_path / "two" / "2DBox_unknown_two_x.npz")
    np.testing.assert_array_equal(made["gts"] > 0, two_discs() > 0)
    check_boxes(made["gts"], made["boxes"])


@given(labels=hnp.arrays(np.uint16, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2)))
def test_parts_are_those_that_flooding_finds(labels: NDArray[np.uint16]) -> None:
    parts = parts_of("x", labels)
    assert ((parts > 0) == (labels > 0)).all()
    padded, padded_labels = np.pad(parts, 1), np.pad(labels, 1)
    centre = (slice(1, -1), slice(1, -1))
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        shifted = np.roll(padded, (-down, -right), (0, 1))[centre]
        same = (np.roll(padded_labels, (-down, -right), (0, 1))[centre] == labels) & (labels > 0)
        assert (shifted[same] == parts[same]).all()
    for part in range(1, int(parts.max()) + 1):
        count, _ = cv2.connectedComponents((parts == part).astype(np.uint8), connectivity=8)
        assert count == 2
        assert len(np.unique(labels[parts == part])) == 1


def test_colours_are_labels(tmp_path: Path) -> None:
    mask = np.zeros((40, 60, 3), np.uint8)
    mask[two_discs(values=(1, 2)) == 1], mask[two_discs(values=(1, 2)) == 2] = (0, 0, 255), (255, 0, 0)
    picture(tmp_path / "images" / "x.jpg", good_image())
    picture(tmp_path / "masks" / "x.png", mask)
    done = run(
        tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "my", "--modality", "XRay", "--dataset", "d e_f"
    )
    assert done.exit_code == 0, done.output
    made = arrays_of(tmp_path / "my" / "2DBox_XRay_d-e-f_x.npz")
    np.testing.assert_array_equal(made["gts"], two_discs(values=(1, 2)))


@given(hnp.arrays(np.uint8, (4, 4, 3), elements=st.sampled_from([0, 7, 255])))
def test_every_colour_but_black_has_its_number(colours: U8) -> None:
    numbers = colours_to_numbers("x", colours)
    assert ((numbers == 0) == (colours == 0).all(-1)).all()
    pairs = {
        (int(number), tuple(colour.tolist()))
        for number, colour in zip(numbers.ravel(), colours.reshape(-1, 3), strict=True)
    }
    assert len({number for number, _ in pairs}) == len({colour for _, colour in pairs}) == len(pairs)


def test_masks_in_jpeg_need_a_threshold(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "x.png", good_image())
    picture(tmp_path / "masks" / "x.jpg", two_discs())
    refused = run(tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "my")
    assert refused.exit_code == 1
    assert "--threshold 127" in refused.output
    given_one = run(tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "my", "--threshold", 127, "--objects")
    assert given_one.exit_code == 0, given_one.output
    made = arrays_of(tmp_path / "my" / "2DBox_unknown_my_x.npz")
    assert len(made["boxes"]) == 2
    assert ((made["gts"] > 0) != (two_discs() > 0)).mean() < 0.01


@pytest.mark.parametrize("labels", ["{0}/0.png;{0}/1.png", "{0}/?.*"])
def test_a_mask_of_each_object_and_a_patient_of_each_line(labels: str, tmp_path: Path) -> None:
    large, small = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    large[5:30, 5:40], small[10:15, 10:15] = 255, 255
    for name in "ab":
        picture(tmp_path / name / "image.png", good_image())
        picture(tmp_path / name / "0.png", small)
        picture(tmp_path / name / "1.png", large)
    rows = [
        {
            "image": f"{n}/image.png",
            "labels": labels.format(n),
            "group": g,
            "name": n,
            "modality": "Microscopy",
            "_x": "-",
        }
        for n, g in (("a", "P1"), ("b", "P2"))
    ]
    done = run(table(tmp_path / "my.csv", *rows), "-o", tmp_path / "my")
    assert done.exit_code == 0, done.output
    assert "2 cases of 2 groups" in done.output
    made = arrays_of(tmp_path / "my" / "2DBox_Microscopy_my_b.npz")
    assert made["boxes"].tolist() == [[10, 10, 14, 14], [5, 5, 39, 29]]
    assert (made["gts"] == 1).sum() == 25
    assert groups_in(tmp_path / "my" / "groups.csv") == {"2DBox_Microscopy_my_a": "P1", "2DBox_Microscopy_my_b": "P2"}


def test_a_line_without_masks_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "x.png", good_image())
    picture(tmp_path / "m.png", two_discs())
    rows = [{"image": "x.png", "labels": labels, "name": str(i)} for i, labels in enumerate(("m.png", "", "no/*.png"))]
    done = run(table(tmp_path / "my.csv", *rows), "-o", tmp_path / "my")
    assert done.exit_code == 1
    assert "line 3 of my.csv ()" in done.output
    assert "line 4 of my.csv (no/*.png)" in done.output
    assert [path.name for path in (tmp_path / "my").glob("*.npz")] == ["2DBox_unknown_my_0.npz"]


def test_images_and_masks_of_one_folder(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        picture(tmp_path / "all" / f"{name}.png", good_image())
        picture(tmp_path / "all" / f"{name}_mask.png", two_discs())
    (tmp_path / "all" / "readme.txt").write_text("no image")
    done = run(tmp_path / "all", tmp_path / "all", "-o", tmp_path / "my")
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "my").glob("*.npz"))) == 2


def test_one_bad_pair_is_named_and_the_others_are_made(tmp_path: Path) -> None:
    for name in ("good", "torn", "alone", "small", "empty", "photo"):
        picture(tmp_path / "images" / f"{name}.png", good_image())
    for name in ("good", "torn"):
        picture(tmp_path / "masks" / f"{name}.png", two_discs())
    picture(tmp_path / "masks" / "small.png", two_discs()[:20])
    picture(tmp_path / "masks" / "empty.png", two_discs() * 0)
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    picture(tmp_path / "masks" / "photo.png", noise)
    picture(tmp_path / "masks" / "stray.png", two_discs())
    torn = tmp_path / "images" / "torn.png"
    torn.write_bytes(torn.read_bytes()[:60])
    done = run(tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "my", "--modality", "CT")
    assert done.exit_code == 1
    lines = [line for line in done.output.splitlines() if line.startswith("error: ")]
    for name, why in (
        ("torn", "torn.png"), ("alone", "nothing is called alone"), ("small", "shape (20, 60)"),
        ("empty", "nothing is marked"), ("photo", "colours"), ("stray", "no image of that name"),
    ):  # fmt: skip
        assert any(name in line and why in line for line in lines), (name, lines)
    assert len(lines) == 6
    assert [path.name for path in (tmp_path / "my").iterdir() if path.suffix == ".npz"] == ["2DBox_CT_my_good.npz"]
    assert list(groups_in(tmp_path / "my" / "groups.csv").values()) == ["2DBox_CT_my_good"]


def test_cases_that_are_there_are_kept(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "x.png", good_image())
    picture(tmp_path / "masks" / "x.png", two_discs())
    arguments = (tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "my", "--group-by", "^.")
    assert run(*arguments).exit_code == 0
    again = run(*arguments)
    assert again.exit_code == 1
    assert "--overwrite" in again.output
    assert run(*arguments, "--overwrite").exit_code == 0
    picture(tmp_path / "more" / "y.png", good_image())
    picture(tmp_path / "masks2" / "y.png", two_discs())
    assert run(tmp_path / "more", tmp_path / "masks2", "-o", tmp_path / "my").exit_code == 0
    known = groups_in(tmp_path / "my" / "groups.csv")
    assert known == {"2DBox_unknown_my_x": "x", "2DBox_unknown_my_y": "2DBox_unknown_my_y"}


def test_groups_are_kept_where_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("P1_a", "P1_b", "P2_c"):
        picture(tmp_path / "images" / f"{name}.png", good_image())
        picture(tmp_path / "masks" / f"{name}.png", two_discs())

    def stop(made: Made) -> None:
        if made.image == "P1_b.png":
            raise KeyboardInterrupt

    monkeypatch.setattr("repmedsam_train.cases.cli.show", stop)
    assert run(tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "my", "--group-by", "P.").exit_code
    assert groups_in(tmp_path / "my" / "groups.csv") == {"2DBox_unknown_my_P1-a": "P1", "2DBox_unknown_my_P1-b": "P1"}


def test_two_images_of_one_name(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a_1.png", good_image())
    picture(tmp_path / "images" / "a-1.png", good_image())
    picture(tmp_path / "masks" / "a_1.png", two_discs())
    picture(tmp_path / "masks" / "a-1.png", two_discs())
    done = run(tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "my")
    assert done.exit_code == 1
    assert "name them in a manifest" in done.output


@ON_DISK
@given(patients=st.lists(st.integers(0, 6), min_size=2, max_size=12).filter(lambda one: len(set(one)) > 1))
def test_no_patient_is_in_both_parts(patients: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("split")
    for i, patient in enumerate(patients):
        picture(folder / "images" / f"P{patient}_{i}.png", good_image(8, 8))
        picture(folder / "masks" / f"P{patient}_{i}.png", good_image(8, 8)[..., 0] // 100)
    done = run(folder / "images", folder / "masks", "-o", folder / "my", "--group-by", r"^P(\d+)_", "--split")
    assert done.exit_code == 0, done.output
    of_train, of_val = (groups_in(folder / "my" / part / "groups.csv") for part in ("train", "val"))
    assert not set(of_train.values()) & set(of_val.values())
    assert of_train and of_val
    assert len(of_train) + len(of_val) == len(patients)
    for part, known in (("train", of_train), ("val", of_val)):
        assert {path.stem for path in (folder / "my" / part).glob("*.npz")} == known.keys()
        assert all(case.rsplit("_", 1)[1].startswith(f"P{group}-") for case, group in known.items())
    assert not list((folder / "my").glob("*.*"))
    again = run(folder / "images", folder / "masks", "-o", folder / "my", "--split")
    assert "earlier split" in str(again.exception)


def test_parts_of_the_data_set_are_kept(tmp_path: Path) -> None:
    picture(tmp_path / "x.png", good_image())
    picture(tmp_path / "m.png", two_discs())
    row = {"image": "x.png", "labels": "m.png"}
    good = [row | {"name": str(i), "group": f"P{i % 3}", "part": "val" if i % 3 == 2 else "train"} for i in range(6)]
    done = run(table(tmp_path / "m.csv", *good), "-o", tmp_path / "my", "--modality", "OCT")
    assert done.exit_code == 0, done.output
    assert set(groups_in(tmp_path / "my" / "val" / "groups.csv").values()) == {"P2"}
    assert len(list((tmp_path / "my" / "train").glob("*.npz"))) == 4
    good[0]["group"] = "P2"
    mixed = run(table(tmp_path / "m.csv", *good), "-o", tmp_path / "other")
    assert "P2 is in both parts" in str(mixed.exception)


@given(
    gts=hnp.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60)), elements=st.integers(0, 3)),
    side=st.integers(1, 60),
)
def test_reduced_labels_are_those_at_centres(gts: U8, side: int) -> None:
    shape = reduced_shape((gts.shape[0], gts.shape[1]), side)
    reduced = reduced_labels(gts, shape)
    assert reduced.shape == shape
    for y in range(shape[0]):
        for x in range(shape[1]):
            row, column = int((y + 0.5) * gts.shape[0] / shape[0]), int((x + 0.5) * gts.shape[1] / shape[1])
            assert reduced[y, x] == gts[row, column]


def test_reduction_displaces_nothing(tmp_path: Path) -> None:
    image = np.zeros((400, 600), np.uint8)
    image[100:200, 152:448] = 240
    picture(tmp_path / "images" / "x.png", image)
    picture(tmp_path / "masks" / "x.png", (image > 0).astype(np.uint8))
    done = run(tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "my", "--side", 150)
    assert done.exit_code == 0, done.output
    made = arrays_of(tmp_path / "my" / "2DBox_unknown_my_x.npz")
    assert made["imgs"].shape == (100, 150, 3)
    np.testing.assert_array_equal(made["gts"] > 0, made["imgs"][..., 0] > 120)
    assert made["boxes"].tolist() == [[38, 25, 111, 49]]


def test_spacing_of_reduced_volumes(tmp_path: Path) -> None:
    labels = np.zeros((6, 64, 64), np.uint8)
    labels[2:4, 20:40, 20:40] = 1
    affine = np.diag([-0.5, -0.5, 3, 1.0])
    volume(tmp_path / "images" / "x.nii.gz", labels * 1000.0, affine)
    volume(tmp_path / "masks" / "x.nii.gz", labels, affine)
    assert run(tmp_path / "images", tmp_path / "masks", "-o", tmp_path / "my", "--side", 32).exit_code == 0
    made = arrays_of(tmp_path / "my" / "3DBox_unknown_my_x.npz")
    assert made["imgs"].shape == (6, 32, 32)
    assert made["spacing"].tolist() == [3, 1, 1]
    check_boxes(made["gts"], made["boxes"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["images"], "a folder of label maps is needed"),
        (["images", "nowhere"], "does not exist"),
        (["images", "images", "--dataset", "__"], "letters and digits"),
        (["images", "masks", "--group-by", "("], "no regular expression"),
        (["masks.csv", "masks"], "is a manifest"),
    ],
)
def test_wrong_usage(
    arguments: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "images" / "x.png", good_image())
    picture(tmp_path / "masks" / "x.png", two_discs())
    monkeypatch.setattr("sys.argv", ["repmedsam-train", "cases", *arguments, "-o", "my"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert why in capsys.readouterr().err


def test_overlapping_objects_of_several_files_leave_no_gaps(tmp_path: Path) -> None:
    """An object that smaller ones cover wholly is lost, and the numbers go on without it."""
    one = np.zeros((4, 4), np.uint8)
    one[1:3, 1:3] = 1
    paths = [picture(tmp_path / f"{i}.png", one) for i in range(2)]
    scan = Scan("x", np.zeros((4, 4), np.uint8), is_volume=False)
    labels, hidden = objects_on(scan, paths, Marking())
    assert np.unique(labels).tolist() == [0, 1]
    assert hidden == 1
