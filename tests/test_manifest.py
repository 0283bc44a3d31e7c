"""Manifests: tables and lines of JSON say the same; what makes no sense is refused by line, before anything begins."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.errors import UsageError
from repmedsam_infer.shards.manifest import COLUMNS, ManifestRow, is_inside, read_manifest
from repmedsam_infer.shards.shard import Shard

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).map(str.strip).filter(bool)
PLACES = st.lists(TEXT.filter(lambda text: not set(text) & set("/\\:")), min_size=1, max_size=3).map("/".join)


def rows_of(path: Path, shard: Shard | None = None) -> list[ManifestRow]:
    return list(read_manifest(path, COLUMNS, shard))


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"image": TEXT, "output": PLACES.filter(is_inside)}, optional={"boxes": TEXT, "window": TEXT}
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row["output"],
    )
)
def test_a_table_and_lines_of_json_say_the_same(
    rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    table = io.StringIO()
    writer = csv.DictWriter(table, ["image", "output", "boxes", "window"])
    writer.writeheader()
    writer.writerows(rows)
    (folder / "a.csv").write_text(table.getvalue(), encoding="utf-8")
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    of_table, of_json = rows_of(folder / "a.csv"), rows_of(folder / "a.jsonl")
    assert [(row.image, row.output, row.options) for row in of_table] == [
        (row.image, row.output, row.options) for row in of_json
    ]
    assert [row.image for row in of_table] == [folder / row["image"] for row in rows]
    shards = [rows_of(folder / "a.jsonl", Shard(i, 3)) for i in (1, 2, 3)]
    assert sorted(row.line for part in shards for row in part) == [row.line for row in of_json]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "names the columns"),
        ("a,b\n1,2\n", "names the columns"),
        ("image,image\n1,2\n", "names the columns"),
        ("image\n", "lists no case"),
        ("image,windw\na.npz,lung\n", "line 2: there is no column 'windw'"),
        ("image,output\na.npz\n", "line 2: has 1 cells"),
        ("image,output\n,a.npz\n", "line 2: image is missing"),
        ("image,output\na.npz,../a.npz\n", "line 2: output is ../a.npz"),
        ("image,output\na.npz,/tmp/a.npz\n", "line 2: output is /tmp/a.npz"),
        ("image,output\na.npz,C:a.npz\n", "line 2: output is C:a.npz"),
        ("image,output\na.npz,sub\\a.npz\n", "line 2: output is"),
        ("image,output\na.npz,sub/\n", "line 2: output is"),
        ("image,output\na.npz,x/a.npz\nb.npz,./x//a.npz\n", "line 3: the result x/a.npz is that of line 2"),
        ("image,output\na.npz,x.npz\nb.npz,\n", "line 3: output is given in some lines"),
        ("image\npat1/\npat1\n", "line 3: the result pat1 is that of line 2"),
        ("image,output\na.npz,x.npz\nb.npz,x.npz\n", "line 3: the result x.npz is that of line 2"),
        ("image\nsub/a.npz\na.npz\n", "line 3: the result a.npz is that of line 2"),
        (f"image\n{'a' * 200_000}\n", "more than 100000 characters"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_by_line(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=said):
        rows_of(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "lists no case"),
        ("nonsense\n", "line 1: is not JSON"),
        ('{"image": "a"}\n[]\n', "line 2: an object is needed"),
        ('{"image": 1.5}\n', "line 1: image is 1.5"),
        ('{"image": "a", "box": [[1, 2, 3, 4]]}\n', "line 1: box is"),
        ("[" * 50_000, "line 1: is not JSON"),
        ("\ufeff{}\n", "line 1: image is missing"),
    ],
)
def test_lines_of_json_that_make_no_sense_are_refused(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=said):
        rows_of(path)


def test_columns_of_the_users_own_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image,_patient\na.npz,7\n")
    (tmp_path / "m.jsonl").write_text('{"image": "a.npz", "_patient": {"id": 7}}\n')
    for path in tmp_path.iterdir():
        (row,) = rows_of(path)
        assert row == ManifestRow(row.line, tmp_path / "a.npz", "", {})


@pytest.mark.parametrize("content", [b"image\n\xff\xfe\n", b"\xff"])
def test_what_is_no_text_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(UsageError, match="UTF-8"):
        rows_of(tmp_path / "m.csv")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"m\.csv does not exist"):
        rows_of(tmp_path / "m.csv")
    (tmp_path / "n.csv").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        rows_of(tmp_path / "n.csv")


@given(
    content=st.binary(max_size=300)
    | st.text(st.sampled_from('image,output\n\r"{}[]:;/.\\\0 a'), max_size=80).map(str.encode)
)
def test_whatever_a_manifest_holds_it_is_rows_or_one_sentence(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    for name in ("m.csv", "m.jsonl"):
        (folder / name).write_bytes(content if content.startswith(b"{") else b"image,output\n" + content)
        try:
            rows = rows_of(folder / name)
        except UsageError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert all(row.name and is_inside(row.output or "a") for row in rows)
