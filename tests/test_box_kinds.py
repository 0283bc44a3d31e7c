"""Boxes of other programs' files: 3D Slicer's markups, COCO, LabelMe, tables with semicolons, diameters."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats.boxes.file import NamedBoxes, read_boxes
from repmedsam_infer.formats.boxes.kinds import of_one_image
from repmedsam_infer.formats.boxes.recist import box_of_diameters
from repmedsam_infer.formats.boxes.source import box_source
from repmedsam_infer.formats.scan import Scan
from tests.dicom_files import affine_of, rotated

PICTURE = Scan("photo", np.zeros((40, 60)), False)
UPRIGHT = affine_of(np.eye(3), (0.5, 0.5, 2), (-100, -90, -300))
VOLUME = Scan("ct", np.zeros((20, 40, 60)), True, UPRIGHT)


def read(folder: Path, content: Any, scan: Scan, name: str = "boxes.json") -> NamedBoxes:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return read_boxes(path, scan, f"{scan.name}.png")


def refuse(folder: Path, content: Any, scan: Scan, reason: str, name: str = "boxes.json") -> None:
    with pytest.raises(CaseReadError, match=reason) as caught:
        read(folder, content, scan, name)
    assert str(caught.value).startswith(name)


# ---- 3D Slicer's markups


def roi(**changes: Any) -> dict[str, Any]:
    """As Slicer 5 writes it: voxels 10..19, 8..15, 3..6 of VOLUME."""
    written = {
        "type": "ROI",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "roiType": "Box",
        "center": [-92.75, -84.25, -291],
        "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
        "size": [5, 4, 8],
        "insideOut": False,
        "controlPoints": [{"id": "1", "label": "R-1", "description": "", "position": [-92.75, -84.25, -291]}],
        "measurements": [{"name": "volume", "enabled": False}],
        **changes,
    }
    return {key: value for key, value in written.items() if value is not None}


def markups(*items: dict[str, Any]) -> dict[str, Any]:
    return {"@schema": "https://example.org/markups-schema-v1.0.3.json#", "markups": list(items)}


INSIDE = [[10, 8, 3, 19, 15, 6]]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"center": None},  # the first control point is there, too
        {"coordinateSystem": "RAS", "center": [92.75, 84.25, -291]},
        {"coordinateSystem": None, "coordinateUnits": ["mm", "UCUM", "millimeter"]},
        {"orientation": [0, 1, 0, 1, 0, 0, 0, 0, 1], "size": [4, 5, 8]},  # x of the box along the patient's y
        {"orientation": None},
        {"coordinateUnits": "um", "center": [-92750, -84250, -291000], "size": [5000, 4000, 8000]},
        {
            "roiType": "BoundingBox",
            "center": None,
            "size": None,
            "orientation": None,
            "controlPoints": [
                {"position": [-95.25, -82.25, -287]},
                {"position": [-90.25, -86.25, -295]},
                {"position": [0, 0, 0], "positionStatus": "undefined"},
            ],
        },
    ],
)
def test_a_roi_of_slicer_is_the_voxels_that_it_holds(changes: dict[str, Any], tmp_path: Path) -> None:
    boxes = read(tmp_path, markups(roi(**changes)), VOLUME, "R.mrk.json")
    np.testing.assert_allclose(boxes.corners, INSIDE, atol=1e-9)


@given(seed=st.integers(0, 10**6), ras=st.booleans(), size=st.tuples(*[st.floats(9, 30)] * 3))
def test_an_oblique_roi_becomes_the_smallest_box_of_its_corners(
    seed: int, ras: bool, size: tuple[float, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    volume = Scan("ct", np.zeros((80, 80, 80)), True, affine_of(rotated(seed + 1), (0.9, 1, 1.1), (3, 2, 1)))
    assert volume.affine is not None
    axes, center = rotated(seed), (volume.affine @ [40, 40, 40, 1])[:3]
    flip = np.array([-1, -1, 1]) if ras else np.ones(3)
    written = roi(
        coordinateSystem="RAS" if ras else "LPS",
        center=(center * flip).tolist(),
        orientation=(axes * flip[:, None]).ravel().tolist(),  # row by row: the axes are its columns
        size=list(size),
    )
    (box,) = read(tmp_path_factory.mktemp("roi"), markups(written), volume).corners
    corners = [center + axes @ ((np.array(corner) - 0.5) * size) for corner in np.ndindex(2, 2, 2)]
    indices = (np.array(corners) - volume.affine[:3, 3]) @ np.linalg.inv(volume.affine[:3, :3]).T
    np.testing.assert_allclose(box, [*(indices.min(0) + 0.5), *(indices.max(0) - 0.5)], atol=1e-6)


def test_rois_have_the_markups_names_and_other_markups_are_left_out(tmp_path: Path) -> None:
    point = {"type": "Fiducial", "controlPoints": [{"position": [0, 0, 0]}]}
    described = roi(controlPoints=[{"label": "R-1", "description": " spleen ", "position": [0, 0, 0]}])
    found = read(tmp_path, markups(roi(name="liver"), point, described, roi(), roi(controlPoints=[])), VOLUME)
    assert found.names == ["liver", "spleen", "R-1", "object 4"]
    assert found.warnings == ("boxes.json: markups that are no ROI were left out (1 Fiducial)",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (markups(), "no ROI among its 0 markups"),
        (markups({"type": "Line"}), "no ROI among its 1 markups"),
        ({"markups": "all"}, "'markups' is not a list of objects"),
        (markups(roi(coordinateSystem="scanner")), "the coordinateSystem of ROI 1 is 'scanner'; LPS or RAS"),
        (markups(roi(coordinateUnits="inch")), "the coordinateUnits of ROI 1 are 'inch'"),
        (markups(roi(size=None)), "ROI 1 has no size; draw it to its end"),
        (markups(roi(size=[5, 4])), "ROI 1 needs a center and a size of 3 numbers"),
        (markups(roi(size=[5, 4, -8])), "sizes not below 0"),
        (markups(roi(center=[1e300, 0, 0])), "needs a center"),
        (markups(roi(orientation=[1] * 9)), "the orientation of ROI 1 is not one of three axes at right angles"),
        (markups(roi(center=[500, 0, 0])), r"ROI 1 \[.*\] is not on ct, .* in pixel; is it of another image"),
        (markups(roi(name="\x1b[31m")), "the name of ROI 1 is longer than 200 or not printable"),
    ],
)
def test_markups_that_are_no_boxes_are_refused(content: Any, reason: str, tmp_path: Path) -> None:
    refuse(tmp_path, content, VOLUME, reason)


def test_markups_need_an_image_with_a_place(tmp_path: Path) -> None:
    refuse(tmp_path, markups(roi()), PICTURE, "ROI 1 is in mm, and photo has no place in space")


# ---- COCO


def coco(annotations: list[dict[str, Any]], **image: Any) -> dict[str, Any]:
    return {
        "info": {"year": 2024},
        "licenses": [],
        "images": [
            {"id": 7, "file_name": "train/photo.png", "width": 60, "height": 40, **image},
            {"id": 8, "file_name": "train/other.png", "width": 9, "height": 9},
        ],
        "annotations": [{"id": i, "image_id": 7, "category_id": 2, **one} for i, one in enumerate(annotations)],
        "categories": [{"id": 1, "name": "nevus"}, {"id": 2, "name": "naevus ü", "supercategory": "skin"}],
    }


def test_a_bbox_of_coco_holds_the_pixels_from_x_to_x_plus_width_less_one(tmp_path: Path) -> None:
    whole = {"bbox": [0, 0, 60, 40], "iscrowd": 0, "area": 2400.0}
    found = read(tmp_path, coco([whole, {"bbox": [10, 5, 1, 20]}, {"bbox": [3, 3, 2, 2], "image_id": 8}]), PICTURE)
    np.testing.assert_array_equal(found.corners, [[0, 0, 59, 39], [10, 5, 10, 24]])
    assert found.names == ["naevus ü", "naevus ü"]


def test_polygons_of_coco_stand_in_where_there_is_no_bbox(tmp_path: Path) -> None:
    polygons = [[10.0, 5.0, 20.0, 5.0, 15.5, 25.0], [12, 4, 13, 4, 13, 6]]
    found = read(tmp_path, coco([{"segmentation": polygons}, {"bbox": [], "segmentation": polygons[:1]}]), PICTURE)
    np.testing.assert_array_equal(found.corners, [[10, 4, 19, 24], [10, 5, 19, 24]])


@pytest.mark.parametrize("name", ["photo.png", "photo", "a\\b\\photo.png", "/data/photo.jpg"])
def test_an_image_of_coco_is_found_by_its_file_name(name: str, tmp_path: Path) -> None:
    content = coco([{"bbox": [1, 2, 3, 4]}], file_name=name)
    np.testing.assert_array_equal(read(tmp_path, content, PICTURE).corners, [[1, 2, 3, 5]])


def test_of_two_images_of_one_name_coco_means_the_one_with_the_same_ending(tmp_path: Path) -> None:
    content = coco([{"bbox": [1, 2, 3, 4]}])
    content["images"][1]["file_name"] = "photo.jpg"
    assert len(read(tmp_path, content, PICTURE).corners) == 1
    content["images"][1]["file_name"] = "val/photo.png"
    refuse(tmp_path, content, PICTURE, r"2 images are called photo.png \(train/photo.png, val/photo.png")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            coco([{"bbox": [1, 2, 3, 4]}], file_name="x.png"),
            r"no boxes for photo.png \(it has some for: x.png, train/ot",
        ),
        (coco([]), "there are no boxes in it for photo"),
        (coco([{"bbox": [1, 2, 0, 4]}]), "the bbox of annotation 1 is not x, y, width, height, with a width"),
        (coco([{"bbox": [1, 2, 3]}]), "the bbox of annotation 1"),
        (coco([{"bbox": [0.1, 0.2, 0.3, 0.4]}]), "the bbox of annotation 1 is smaller than a pixel: .* fractions"),
        (coco([{"bbox": [1, 2, 1e400, 3]}]), "the bbox of annotation 1"),
        (coco([{"segmentation": {"counts": "abc", "size": [40, 60]}}]), "neither a bbox nor polygons; give it a bbox"),
        (coco([{"segmentation": [[1, 2, 3]]}]), "a polygon of annotation 1 is not a list of x, y"),
        (coco([{"bbox": [1, 2, 3, 4]}], width=600), "was made on a picture of 600 x 40 pixels, and photo has 60 x 40"),
        (coco([{"bbox": [1, 2, 300, 4]}]), "annotation 1 .* is not on photo"),
        (coco([{"bbox": [1, 2, 3, 4]}], id=None), "the image photo.png has no id"),
        ({"images": 1, "annotations": []}, "'images' is not a list of objects"),
        ({"images": [], "annotations": [3]}, "no boxes for photo.png .*nothing"),
    ],
)
def test_coco_that_has_no_boxes_of_the_picture_is_refused(content: Any, reason: str, tmp_path: Path) -> None:
    refuse(tmp_path, content, PICTURE, reason)


# ---- LabelMe


def labelme(*shapes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [{"label": "lesion", "group_id": None, "flags": {}, **shape} for shape in shapes],
        "imagePath": "..\\images\\photo.png",
        "imageData": None,
        "imageHeight": 40,
        "imageWidth": 60,
        **changes,
    }


RECTANGLE: dict[str, Any] = {"shape_type": "rectangle", "points": [[20.0, 25.0], [10.0, 5.0]]}  # corners in any order


def test_shapes_of_labelme_are_boxes_of_the_pixels_in_them(tmp_path: Path) -> None:
    circle = {"shape_type": "circle", "points": [[30, 20], [33, 24]]}
    polygon = {"points": [[10, 5], [20.0, 5], [15, 25]]}  # the first versions name no type: a polygon
    mask = {"shape_type": "mask", "points": [[10, 5], [19, 24]], "mask": "iVBOR"}
    found = read(tmp_path, labelme(RECTANGLE, circle, polygon, mask), PICTURE)
    box = [10, 5, 19, 24]
    np.testing.assert_array_equal(found.corners, [box, [25, 15, 34, 24], box, box])
    assert found.names == ["lesion"] * 4


def test_shapes_of_one_group_are_one_object_and_lines_are_left_out(tmp_path: Path) -> None:
    other = {"shape_type": "rectangle", "points": [[30, 2], [32, 9]]}
    line = {"shape_type": "line", "points": [[1, 1], [2, 2]]}
    shapes: list[dict[str, Any]] = [{**RECTANGLE, "group_id": 3}, line]
    shapes += [{**other, "group_id": 3}, {**other, "group_id": 3, "label": "b"}]
    found = read(tmp_path, labelme(*shapes), PICTURE)
    np.testing.assert_array_equal(found.corners, [[10, 2, 31, 24], [30, 2, 31, 8]])
    assert found.names == ["lesion", "b"]
    assert found.warnings == ("boxes.json: shapes without an area were left out (1 line)",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (labelme(RECTANGLE, imagePath="other.png"), r"no boxes for photo.png \(it has some for: other.png\)"),
        (labelme(RECTANGLE, imageWidth=120), "was made on a picture of 120 x 40 pixels, and photo has 60 x 40"),
        (labelme({"shape_type": "point", "points": [[1, 1]]}), "there are no boxes in it"),
        (labelme({"shape_type": "rectangle", "points": [[1, 1]]}), "shape 1, a rectangle, needs at least 2 points"),
        (labelme({"shape_type": "polygon", "points": [[1, 1], [2], [3, 3]]}), "shape 1, a polygon, needs"),
        (labelme({"shape_type": "circle", "points": 7}), "shape 1, a circle, needs"),
        (labelme(shapes={"a": 1}), "'shapes' is not a list of objects"),
        (labelme({"shape_type": "rectangle", "points": [[1, 1], [600, 2]]}), "shape 1 .* is not on photo"),
    ],
)
def test_labelme_that_has_no_boxes_of_the_picture_is_refused(content: Any, reason: str, tmp_path: Path) -> None:
    refuse(tmp_path, content, PICTURE, reason)


def test_files_on_pictures_are_refused_for_volumes(tmp_path: Path) -> None:
    refuse(tmp_path, coco([]), VOLUME, "a file of COCO, whose boxes are on pictures, and ct is a volume")
    refuse(tmp_path, labelme(RECTANGLE), VOLUME, "a file of LabelMe, whose boxes are on pictures, and ct is a volume")


# ---- tables


@pytest.mark.parametrize(
    "text",
    [
        "x_min;y_min;x_max;y_max;name\n1,5;2;30;20;Leber, rechts\n",
        "\ufeffX_Min;Y_Min;X_Max;Y_Max;Name\r\n1.5;2;30;20;Leber, rechts\r\n",
        "x_min\ty_min\tx_max\ty_max\tname\n1,5\t2\t30\t20\tLeber, rechts\n",
        'x_min,y_min,x_max,y_max,name\n1.5,2,30,20,"Leber, rechts"\n',
        "sep=;\r\nx_min;y_min;x_max;y_max;name\r\n1,5;2,0;30,0;20;Leber, rechts\r\n",
    ],
)
def test_tables_may_have_semicolons_tabs_and_decimal_commas(text: str, tmp_path: Path) -> None:
    for name in ("boxes.csv", "boxes.tsv"):
        found = read(tmp_path, text, PICTURE, name)
        np.testing.assert_array_equal(found.corners, [[1.5, 2, 30, 20]])
        assert found.names == ["Leber, rechts"]


def test_rows_are_counted_from_the_first_line_of_the_file(tmp_path: Path) -> None:
    text = "sep=;\nx_min;y_min;x_max;y_max\n1;2;3;4\n1;2;x;4\n"
    refuse(tmp_path, text, PICTURE, "x_max of the box in row 4 is 'x'", "boxes.csv")
    refuse(tmp_path, "x_min;y_min;x_max;y_max\n1,2,3;2;3;4\n", PICTURE, "is '1,2,3', not a number", "boxes.csv")


# ---- diameters


def test_two_diameters_are_the_box_of_their_ends(tmp_path: Path) -> None:
    ends = [[10, 20], [22, 8], [12, 10], [19, 17]]
    table = "x1,y1,x2,y2,x3,y3,x4,y4,slice,name\n10,20,22,8,12,10,19,17,5,node\n"
    for content, name in (([{"recist": ends, "slice": 5, "name": "node"}], "a.json"), (table, "a.csv")):
        found = read(tmp_path, content, VOLUME, name)
        np.testing.assert_array_equal(found.corners, [[10, 8, 5, 22, 20, 5]])
        assert found.open_ended == {1}
        assert found.names == ["node"]
        assert not found.warnings
    np.testing.assert_array_equal(read(tmp_path, [{"recist": ends}], PICTURE).corners, [[10, 8, 22, 20]])


def test_a_long_diameter_alone_is_the_square_around_it_in_mm(tmp_path: Path) -> None:
    wide = Scan("ct", np.zeros((20, 40, 60)), True, affine_of(np.eye(3), (0.5, 1, 2), (0, 0, 0)))
    table = "x1;y1;x2;y2;x3;y3;x4;y4;slice\n20;10;32;18;;;;;5\n"  # 6 mm across, 8 mm down: 10 mm
    for content, name in (([{"recist": [[20, 10], [32, 18]], "slice": 5}], "a.json"), (table, "a.csv")):
        found = read(tmp_path, content, wide, name)
        np.testing.assert_allclose(found.corners, [[16, 9, 5, 36, 19, 5]])
        assert "has a long diameter alone: the square around it was taken" in found.warnings[0]


@given(st.lists(st.tuples(st.floats(5, 30), st.floats(5, 30)), min_size=4, max_size=4, unique=True))
def test_boxes_of_diameters_hold_their_ends(points: list[tuple[float, float]]) -> None:
    for ends in (np.array(points), np.array(points[:2])):
        x_min, y_min, x_max, y_max = box_of_diameters("box 1", ends, "pixel", PICTURE)
        assert (ends >= np.array([x_min, y_min]) - 1e-9).all()
        assert (ends <= np.array([x_max, y_max]) + 1e-9).all()


@pytest.mark.parametrize(
    ("content", "reason", "name", "scan"),
    [
        ([{"recist": [[1, 2], [3, 4]]}], "the diameters of box 1 need a 'slice'", "a.json", VOLUME),
        ([{"recist": [[1, 2], [1, 2]], "slice": 3}], "box 1 has a long diameter of length 0", "a.json", VOLUME),
        ([{"recist": [[1, 2], [3, 4], [5, 6]]}], "not a list of two or four points", "a.json", PICTURE),
        ([{"recist": [[1, 2], [3, None]]}], "not a list of two or four points", "a.json", PICTURE),
        ([{"recist": [[1, 2], [3, 4]], "box": [1, 2, 3, 4]}], "has 'box' and 'recist'", "a.json", PICTURE),
        ("x1,y1,x2,y2\n1,2,3,4\n", "may be corners or ends of a diameter: call corners x_min", "a.csv", PICTURE),
        ("x1,y1,x2,y2,slice\n1,2,3,4,\n", "the diameters of the box in row 2 need a slice", "a.csv", VOLUME),
        ("x1,y1,x2,y2,x3,slice\n1,2,3,4,5,6\n", "the column y3 is missing", "a.csv", VOLUME),
        ("x1,y1,x2,y2,slice,x_min\n1,2,3,4,5,6\n", "the column 'x_min' is unknown", "a.csv", VOLUME),
        ("x1,y1,x2,y2,slice\n1,2,inf,4,5\n", "row 2 is not finite", "a.csv", VOLUME),
    ],
)
def test_diameters_that_are_no_box_are_refused(
    content: Any, reason: str, name: str, scan: Scan, tmp_path: Path
) -> None:
    refuse(tmp_path, content, scan, reason, name)


# ---- one image or several


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([[1, 2, 3, 4]], r'a list of boxes, without names of images; write \{"cases": \{"NAME"'),
        ({"space": "mm", "boxes": []}, "a list of boxes, without names of images"),
        (markups(roi()), "markups do not say which image they are on"),
        ("x_min,y_min,x_max,y_max\n1,2,3,4\n", "it has no column 'case'"),
    ],
)
def test_a_file_for_one_image_is_refused_for_several(content: Any, reason: str, tmp_path: Path) -> None:
    path = tmp_path / ("boxes.csv" if isinstance(content, str) else "boxes.json")
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UsageError, match=f"has boxes of one image, and there are 2: .*{reason}"):
        box_source(path, None, [], [Path("a.png"), Path("b.png")])
    assert box_source(path, None, [], [Path("a.png")]).file == path


@pytest.mark.parametrize(
    "content", [{"cases": {}}, coco([]), labelme(), "case,x_min,y_min,x_max,y_max\na,1,2,3,4\n", "{", "[" * 9]
)
def test_a_file_that_names_images_or_is_damaged_is_left_to_each_image(content: Any, tmp_path: Path) -> None:
    is_table = isinstance(content, str) and content.startswith("case")
    path = tmp_path / ("boxes.csv" if is_table else "boxes.json")
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert box_source(path, None, [], [Path("a.png"), Path("b.png")]).file == path


def test_a_size_in_fractions_counts_and_a_shape_file_without_a_picture_is_for_one(tmp_path: Path) -> None:
    other = labelme(RECTANGLE, imageWidth=30.0, imageHeight=20.0)
    refuse(tmp_path, other, PICTURE, "was made on a picture of 30.0 x 20.0 pixels")
    path = tmp_path / "nameless.json"
    path.write_text(json.dumps(labelme(RECTANGLE, imagePath="")), "utf-8")
    assert "which image" in of_one_image(path)
