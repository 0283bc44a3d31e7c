"""What `repmedsam-train cases` writes into groups.csv: no case is ever without its patient, and no row is lost."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.npz import write_npz
from repmedsam_train.cases import make
from repmedsam_train.cases.groups import GroupsFile
from repmedsam_train.cases.pairs import split_paths
from repmedsam_train.data.split import read_groups
from tests.conftest import good_image

pytest.importorskip("nibabel")
pytest.importorskip("torch")

from tests.test_training_cases import groups_in, picture, run, table, two_discs


def pictures(folder: Path, *names: str) -> tuple[Path, Path]:
    for name in names:
        picture(folder / "images" / f"{name}.png", good_image())
        picture(folder / "masks" / f"{name}.png", two_discs())
    return folder / "images", folder / "masks"


def test_a_case_has_its_group_before_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a kill, after which nothing more is written, leaves no case without its group."""
    seen: list[dict[str, str]] = []

    def watched(path: Path, **arrays: NDArray[np.generic]) -> None:
        seen.append(groups_in(path.parent / "groups.csv"))
        write_npz(path, **arrays)

    monkeypatch.setattr(make, "write_npz", watched)
    done = run(*pictures(tmp_path, "P1_a", "P1_b", "P2_a"), "-o", tmp_path / "my", "--group-by", "P.")
    assert done.exit_code == 0, done.output
    names = ["2DBox_unknown_my_P1-a", "2DBox_unknown_my_P1-b", "2DBox_unknown_my_P2-a"]
    assert [list(one) for one in seen] == [names[:1], names[:2], names]
    assert groups_in(tmp_path / "my" / "groups.csv") == dict(zip(names, ("P1", "P1", "P2"), strict=True))


def test_groups_that_cannot_be_read_stop_it_before_the_first_case(tmp_path: Path) -> None:
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "groups.csv").write_text("patient,file\n1,2\n")
    done = run(*pictures(tmp_path, "a"), "-o", tmp_path / "my")
    assert isinstance(done.exception, UsageError)
    assert not list((tmp_path / "my").glob("*.npz"))


def test_rows_added_end_up_in_order_and_once(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("case,group\nz,Z")  # without a line's end
    groups = GroupsFile(tmp_path)
    for case, group in (("b.npz", "B"), ("a.npz", 'a, "b"'), ("b.npz", "C")):
        groups.add(case, group)
    expected = {"a.npz": 'a, "b"', "b.npz": "C", "z.npz": "Z"}
    assert read_groups(tmp_path / "groups.csv") == expected
    groups.finish()
    assert (tmp_path / "groups.csv").read_text() == 'case,group\na,"a, ""b"""\nb,C\nz,Z\n'


def test_cases_that_are_in_no_part_keep_their_groups(tmp_path: Path) -> None:
    images, masks = pictures(tmp_path, "P1_a", "P1_b")
    assert run(images, masks, "-o", tmp_path / "my", "--group-by", "P.").exit_code == 0
    row = {"image": "images/P1_a.png", "labels": "masks/P1_a.png"}
    rows = [row | {"name": name, "group": f"of {name}", "part": part} for name, part in (("x", "train"), ("y", "val"))]
    done = run(table(tmp_path / "m.csv", *rows), "-o", tmp_path / "my")
    assert done.exit_code == 0, done.output
    assert groups_in(tmp_path / "my" / "groups.csv") == {f"2DBox_unknown_my_P1-{one}": "P1" for one in "ab"}
    assert groups_in(tmp_path / "my" / "val" / "groups.csv") == {"2DBox_unknown_my_y": "of y"}


def test_a_single_patient_cannot_be_split(tmp_path: Path) -> None:
    done = run(*pictures(tmp_path, "P1_a", "P1_b"), "-o", tmp_path / "my", "--group-by", "P.", "--split")
    assert isinstance(done.exception, UsageError)
    assert "leave out --split" in str(done.exception)
    assert "--val" not in str(done.exception)


def test_a_row_without_a_group_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("case,group\na\nb,\nc,  \nd,P1\n")
    assert read_groups(tmp_path / "groups.csv") == {"d.npz": "P1"}


def test_the_manifests_folder_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "set [1]"
    masks = [picture(folder / "masks" / f"{i}.png", two_discs()) for i in range(2)]
    assert list(split_paths("masks/*.png", folder)) == masks
    assert list(split_paths(f"{tmp_path}/*/masks/0.*; masks/1.png", folder)) == masks


def test_objects_that_others_cover_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "x.png", good_image())
    for name in "ab":
        picture(tmp_path / f"{name}.png", two_discs())
    done = run(table(tmp_path / "m.csv", {"image": "x.png", "labels": "a.png;b.png"}), "-o", tmp_path / "my")
    assert done.exit_code == 0, done.output
    assert "cover them wholly: 1 of 2 objects" in done.output
