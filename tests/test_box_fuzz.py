"""Whatever a file of boxes holds: boxes, or a sentence of bounded length; nothing else comes out."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repmedsam_infer.errors import MOST_CHARACTERS, CaseReadError, UsageError
from repmedsam_infer.formats.boxes.file import read_boxes
from repmedsam_infer.formats.boxes.source import box_source
from repmedsam_infer.formats.scan import Scan
from tests.dicom_files import affine_of, rotated

PICTURE = Scan("photo", np.zeros((40, 60)), False)
VOLUME = Scan("photo", np.zeros((20, 40, 60)), True, affine_of(rotated(), (0.7, 0.9, 2.5), (-20, -20, -20)))
LONGEST = MOST_CHARACTERS + 100  # a message's ends are joined by a few more

NUMBERS = st.one_of(
    st.integers(-3, 70), st.floats(), st.sampled_from([10**400, -(10**30), 1e308, -0.0, 0.5]), st.booleans()
)
TEXTS = st.one_of(
    st.sampled_from(
        ["photo.png", "photo", "LPS", "RAS", "ROI", "Box", "mm", "um", "pixel", "polygon", "circle", "mask"]
    ),
    st.text(st.characters(codec=None), max_size=8),  # with half surrogates and control characters
)
LEAVES = st.one_of(NUMBERS, TEXTS, st.none(), st.lists(NUMBERS, min_size=2, max_size=9))
WORDS = re.findall(
    r"\S+",
    "boxes box name slice follow space cases recist photo photo.png markups type coordinateSystem coordinateUnits "
    "center size orientation controlPoints position label images annotations categories id file_name width height "
    "image_id category_id bbox segmentation shapes shape_type points group_id imagePath imageWidth imageHeight ",
)
KEYS = st.one_of(st.sampled_from(WORDS), TEXTS)
ANY = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=12,
)


def some(fields: dict[str, Any], rest: Any = ANY) -> Any:
    """Objects of these fields, a few of them missing, or something else in their place."""
    return st.fixed_dictionaries({}, optional={key: st.one_of(value, value, rest) for key, value in fields.items()})


def numbers(count: int) -> Any:
    return st.lists(NUMBERS, min_size=count, max_size=count)


POINTS = st.lists(numbers(2), max_size=5)
ROIS = some(
    {
        "type": st.just("ROI"),
        "name": TEXTS,
        "coordinateSystem": st.sampled_from(["LPS", "RAS"]),
        "center": numbers(3),
        "size": numbers(3),
        "orientation": st.one_of(st.just([1, 0, 0, 0, 1, 0, 0, 0, 1]), numbers(9)),
        "controlPoints": st.lists(some({"position": numbers(3), "label": TEXTS}), max_size=3),
    },
    LEAVES,
)
SHAPES = some(
    {"label": TEXTS, "shape_type": TEXTS, "points": POINTS, "group_id": st.one_of(st.none(), st.integers(0, 2))}, LEAVES
)
ANNOTATIONS = some(
    {"image_id": st.integers(1, 2), "category_id": st.integers(1, 2), "bbox": numbers(4), "segmentation": POINTS},
    LEAVES,
)
OWN = st.lists(
    st.one_of(
        numbers(4), numbers(6), some({"box": numbers(4), "recist": POINTS, "slice": NUMBERS, "name": TEXTS}, LEAVES)
    ),
    max_size=3,
)
DOCUMENTS = st.one_of(
    ANY,
    OWN,
    some({"boxes": OWN, "space": TEXTS}),
    st.fixed_dictionaries({"cases": st.dictionaries(KEYS, st.one_of(OWN, ANY), max_size=3)}),
    st.fixed_dictionaries({"markups": st.lists(ROIS, max_size=3)}),
    st.fixed_dictionaries(
        {"shapes": st.lists(SHAPES, max_size=4)},
        optional={"imagePath": TEXTS, "imageWidth": NUMBERS, "imageHeight": LEAVES},
    ),
    st.fixed_dictionaries(
        {
            "images": st.lists(
                some({"id": st.integers(1, 2), "file_name": TEXTS, "width": NUMBERS}, LEAVES), max_size=2
            ),
            "annotations": st.lists(ANNOTATIONS, max_size=3),
        },
        optional={"categories": st.lists(some({"id": st.integers(1, 2), "name": TEXTS}, LEAVES), max_size=2)},
    ),
)


def read_all(path: Path) -> None:
    """Read a file for a picture and a volume, and check what comes out."""
    for scan in (PICTURE, VOLUME):
        try:
            found = read_boxes(path, scan, "photo.png")
        except CaseReadError as error:
            message = str(error)
            assert message.startswith(path.name)
            assert message.isprintable()
            assert len(message) < LONGEST
            message.encode("utf-8")
        else:
            assert np.isfinite(found.corners).all()
            assert len(found.corners) == len(found.names)
            assert all(name.isprintable() for name in found.names)
            assert sum(map(len, found.warnings)) < 10 * LONGEST
    with contextlib.suppress(UsageError):
        box_source(path, None, [], [Path("a"), Path("b")])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def write_json(path: Path, content: Any) -> None:
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(content))


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(content=DOCUMENTS)
def test_any_json_is_boxes_or_a_sentence(content: Any, folder: Path) -> None:
    write_json(folder / "boxes.json", content)
    read_all(folder / "boxes.json")


CELLS = st.one_of(
    st.integers(-3, 70).map(str),
    st.sampled_from(["", "1,5", "1e400", "nan", "photo", "mm", "0.5", "9" * 5000, '"', "x\ny"]),
    st.text(max_size=5),
)
COLUMNS = st.sampled_from(
    re.findall(r"\S+", "case name space slice x_min y_min z_min x_max y_max z_max x1 y1 x2 y2 x3 y3 x4 y4 X_MIN other")
)
HEADERS = st.one_of(
    st.sampled_from(
        [
            ["x_min", "y_min", "x_max", "y_max"],
            ["case", "x_min", "y_min", "z_min", "x_max", "y_max", "z_max", "name"],
            ["x_min", "y_min", "x_max", "y_max", "slice", "space"],
            ["x1", "y1", "x2", "y2", "slice"],
            ["x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"],
        ]
    ),
    st.lists(COLUMNS, max_size=9),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), delimiter=st.sampled_from(",;\t"), start=st.sampled_from(["", "sep=;\n", "\ufeff", "sep=\n\n"]))
def test_any_table_is_boxes_or_a_sentence(data: st.DataObject, delimiter: str, start: str, folder: Path) -> None:
    header = data.draw(HEADERS)
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), max_size=3))
    path = folder / "boxes.csv"
    text = start + "\n".join(delimiter.join(row) for row in [header, *rows])
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    read_all(path)


LONG = 100_000


@pytest.mark.parametrize(
    "text",
    [
        "[" * LONG,
        '{"cases":' * LONG,
        '{"markups": [' * 900,
        json.dumps({"k" * LONG: 1}),
        json.dumps({"cases": {"k" * LONG: [], "\x1b[2J\ud800": []}}),
        json.dumps({"cases": {f"case {i}": [] for i in range(30_000)}}),
        json.dumps([{"box": [1, 2, 3, 4], "name": "\ud800"}]),
        json.dumps([{"box": [1, 2, 3, 4], "\ud800\x1b]0;title\x07": 1}]),
        json.dumps({"space": "\udfff" * LONG, "boxes": []}),
        json.dumps({"boxes": [], "boxes ": []}) + "\ud800",
        json.dumps([[float("nan")] * 4] * 65_535),
        json.dumps([[9, 9, 1, 1]] * 65_535),
        json.dumps([{"recist": [[1, 2], [3, 4]]}] * 10_000),
        json.dumps([[1, 2, 3, 10**4000]]),
        f"[[1, 2, 3, {'9' * 5000}]]",
        json.dumps({"shapes": [{"shape_type": "line" * 900 + str(i)} for i in range(3000)]}),
        json.dumps({"markups": [{"type": "x" * 900 + str(i)} for i in range(3000)]}),
        json.dumps({"images": [{"file_name": "x" * 900 + str(i)} for i in range(3000)], "annotations": []}),
    ],
)
def test_hostile_json_leads_to_a_bounded_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    read_all(tmp_path / "boxes.json")


@pytest.mark.parametrize(
    "text",
    [
        ",".join(["x"] * LONG),
        "x_min,y_min,x_max,y_max\n" + "nan,1,2,3\n" * 65_535,
        "case,x_min,y_min,x_max,y_max\n" + "".join(f"\x1b[31m{i},1,1,2,2\n" for i in range(65_535)),
        "x_min,y_min,x_max,y_max\n1,2,3,'" + "4" * LONG + "'\n",
        'x_min,y_min,x_max,y_max\n1,2,3,"' + "4" * 200_000,
        "\n" * (16 << 20),
        "x_min,y_min,x_max,y_max\n" + "\n" * (4 << 20) + "1,2",
        "x_min,y_min,x_max,y_max\n" + "1,1,2,2\n" * 400_000,
        "x1,y1,x2,y2,slice\n" + "1,2,3,4,5\n" * 10_000,
    ],
    ids=lambda text: text[:20],
)
def test_hostile_tables_lead_to_a_bounded_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text(text)
    read_all(tmp_path / "boxes.csv")
