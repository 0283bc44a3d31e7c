"""Boxes on the command line, and advice on what to write instead, there and for files."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.boxes.file import read_boxes
from repmedsam_infer.formats.boxes.source import BoxSource, box_source
from repmedsam_infer.formats.boxes.typed import parse_box, parse_box_mm
from repmedsam_infer.formats.scan import Scan
from tests.conftest import Repmedsam
from tests.dicom_files import affine_of, rotated

PICTURE = Scan("photo", np.zeros((40, 60)), False)
ANGLED = affine_of(rotated(), (0.7, 0.9, 2.5), (-103.25, 40.5, -512.125))
VOLUME = Scan("ct", np.zeros((20, 40, 60)), True, ANGLED)
ONE = [Path("a.png")]


def typed(*boxes: str, mm: tuple[str, ...] = ()) -> BoxSource:
    return box_source(None, None, boxes, ONE, mm)


@pytest.mark.parametrize(
    "text", ["12,30,58,35", "12 30 58 35", "12, 30 , 58,\t35", " 12.0;30;58;35 ", "1.2e1 30 58 +35"]
)
def test_numbers_of_a_box_are_parted_by_commas_or_blanks(text: str) -> None:
    np.testing.assert_array_equal(typed(text).boxes_on(ONE[0], PICTURE).corners, [[12, 30, 58, 35]])


@pytest.mark.parametrize("text", ["1,2,30,20@5", "1 2 30 20 @ 5", "1, 2, 30, 20 @5"])
def test_a_slice_follows_the_numbers_with_or_without_blanks(text: str) -> None:
    found = typed(text, "1 2 3 30 20 10").boxes_on(ONE[0], VOLUME)
    np.testing.assert_array_equal(found.corners, [[1, 2, 5, 30, 20, 5], [1, 2, 3, 30, 20, 10]])
    assert found.open_ended == {1}


def test_boxes_in_mm_are_those_of_files_in_mm(tmp_path: Path) -> None:
    low, high = (ANGLED @ [20, 20, 10, 1])[:3] - 4, (ANGLED @ [20, 20, 10, 1])[:3] + 6
    rows = [[*low.tolist(), *high.tolist()]] * 2
    (tmp_path / "boxes.json").write_text(json.dumps({"space": "mm", "boxes": rows}))
    text = tuple(separator.join(map(repr, row)) for row, separator in zip(rows, (",", " "), strict=True))
    found = typed(mm=text).boxes_on(ONE[0], VOLUME)
    np.testing.assert_allclose(found.corners, read_boxes(tmp_path / "boxes.json", VOLUME, "ct").corners)
    assert found.names == ["object 1", "object 2"]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("30,20,10,40", "write --box 10,20,30,40"),
        ("30,20,10,15", "write --box 10,15,30,20, or --box 30,20,39,34 if it is a corner and sizes"),
        ("30,20,10,40@7", "write --box 10,20,30,40@7"),
        ("1 2 9 30 20 4", "write --box 1,2,4,30,20,9"),
        ("5,5,5,5", r"is empty \(a single point\): write two opposite corners, --box 5,5,x_max,y_max"),
        ("5,5,1,5,5,9", r"is empty \(a single point\)"),
        ("", "'' has no numbers; one of these is needed: --box x_min,y_min,x_max,y_max"),
        ("1,2,3", "1,2,3 has 3 numbers; one of these is needed: --box x_min,y_min,x_max,y_max, on volumes --box x_min"),
        ("1,2,,3", "has not numbers"),
        ("1,2,3,4@", "is needed: --box x_min"),
        ("1,2,3,4@1,2", "is needed: --box x_min"),
        ("1,2,3,4,5,6@7", "is needed: --box x_min"),
        ("1,2,3,1_0", "has not numbers"),
        ("1,2,3,nan", "has not numbers"),
        ("1,2,3,1e400", "has not numbers"),
        ("a" * 5000, "has not numbers"),
    ],
)
def test_a_box_that_makes_no_sense_is_answered_with_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice) as caught:
        parse_box(text)
    assert len(str(caught.value)) < 1100


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("1,2,3,4", "is not six numbers: write --box-mm x_min,y_min,z_min,x_max,y_max,z_max"),
        ("1,2,3,4,5,6@7", "is not six numbers"),
        ("-5,2,3,-9,4,5", "write --box-mm -9,2,3,-5,4,5"),
    ],
)
def test_a_box_in_mm_that_makes_no_sense_is_answered_with_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        parse_box_mm(text)


def test_boxes_are_given_in_one_way_for_one_image() -> None:
    for boxes, mm, inputs, reason in (
        (["1,2,3,4"], ["1,2,3,4,5,6"], ONE, "only one of these at a time"),
        ([], [], ONE, "one of these is needed"),
        ([], ["1,2,3,4,5,6"], ONE * 2, "--box is for one image"),
    ):
        with pytest.raises(UsageError, match=reason):
            box_source(None, None, boxes, inputs, mm)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("gone.json", "gone.json does not exist"), ("x" * 5000, "cannot be opened .*name too long"), ("a\0", "cannot be")],
)
def test_a_file_of_boxes_that_cannot_be_is_a_usage_error(name: str, reason: str) -> None:
    for file, labels in ((Path(name), None), (None, Path(name))):
        with pytest.raises(UsageError, match=reason):
            box_source(file, labels, [], ONE)


def refuse_on(scan: Scan, reason: str, *boxes: str, mm: tuple[str, ...] = ()) -> None:
    with pytest.raises(CaseReadError, match=reason):
        typed(*boxes, mm=mm).boxes_on(ONE[0], scan)


def test_boxes_of_the_other_kind_of_image_are_answered_with_what_to_write() -> None:
    refuse_on(PICTURE, "is a picture, and --box names a slice; leave out @5: write --box 1,2,3,4", "1,2,3,4@5")
    refuse_on(VOLUME, "or --box 1,2,3,4@z for a box on slice z", "1,2,3,4")
    refuse_on(PICTURE, "--box-mm is in mm, and photo has no place in space; use pixels", mm=("1,2,3,4,5,6",))
    refuse_on(VOLUME, "--box-mm 1 .* is not on ct, .* in mm; is it in pixels", mm=("1,2,3,4,5,6",))


def test_fractions_of_the_image_are_answered_with_their_pixels(tmp_path: Path) -> None:
    refuse_on(PICTURE, "all boxes lie between 0 and 1.*: write --box 6,20,29,39 for the first", "0.1,0.5,0.5,1")
    refuse_on(VOLUME, "write --box 6,20,29,39@3 for the first", "0.1,0.5,0.5,1@3")
    refuse_on(VOLUME, "write --box 6,20,3,29,39,5 for the first", "0.1,0.5,3,0.5,1,5")
    (tmp_path / "boxes.json").write_text("[[0.1, 0.5, 0.5, 1], [0, 0, 1, 1]]")
    with pytest.raises(CaseReadError, match=r"^boxes.json: all boxes .*: write \[6, 20, 29, 39\] for the first"):
        read_boxes(tmp_path / "boxes.json", PICTURE, "photo")
    (tmp_path / "boxes.json").write_text("[[0, 0, 1, 1]]")  # whole numbers: two pixels by two
    assert len(read_boxes(tmp_path / "boxes.json", PICTURE, "photo").corners) == 1


@given(text=st.one_of(st.text(max_size=60), st.from_regex(r"[-0-9., ;@e]{0,30}", fullmatch=True)), is_mm=st.booleans())
def test_any_text_is_a_box_or_a_usage_error(text: str, is_mm: bool) -> None:
    try:
        found: Any = typed(mm=(text,)) if is_mm else typed(text)
    except UsageError:
        return
    for scan in (PICTURE, VOLUME):
        try:
            assert np.isfinite(found.boxes_on(ONE[0], scan).corners).all()
        except CaseReadError as error:
            assert str(error).isprintable()


def test_commands_take_boxes_in_mm_and_files_of_other_programs(tmp_path: Path, repmedsam: Repmedsam) -> None:
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.arange(120, dtype=np.int16).reshape(4, 5, 6)), tmp_path / "v.mha"
    )
    mm = ("--box-mm", "0.5, 0.5, -0.5, 4.5, 3.5, 2.5", "--box-mm", "-0.5 -0.5 -0.5 2.5 2.5 2.5")
    assert repmedsam("convert", tmp_path / "v.mha", *mm, "-o", tmp_path).code == 0
    (case,) = tmp_path.glob("*.npz")
    np.testing.assert_array_equal(np.load(case)["boxes"], [[1, 1, 0, 4, 3, 2], [0, 0, 0, 2, 2, 2]])
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((40, 60, 3), np.uint8))
    shapes = [{"shape_type": kind, "label": "x", "points": [[10, 5], [20, 25]]} for kind in ("rectangle", "line")]
    (tmp_path / "photo.json").write_text(json.dumps({"shapes": shapes, "imagePath": "photo.png"}))
    done = repmedsam("convert", tmp_path / "photo.png", "--boxes", tmp_path / "photo.json", "-o", tmp_path / "cases")
    assert "warning: photo.png: photo.json: shapes without an area were left out (1 line)" in done.err
    (case,) = (tmp_path / "cases").glob("*.npz")
    np.testing.assert_array_equal(np.load(case)["boxes"], [[10, 5, 19, 24]])
