"""What a changed mask is counted as, and what is left out."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from repmedsam_infer.errors import CaseReadError
from repmedsam_train.comparison.masks import agreement_table, agreements
from tests.conftest import write_npz


def folders(root: Path, name: str, gts: np.ndarray, one: np.ndarray, other: np.ndarray) -> tuple[Path, Path, Path]:
    paths = root / "one", root / "other", root / "gts"
    for folder, key, labels in zip(paths, ("segs", "segs", "gts"), (one, other, gts), strict=True):
        folder.mkdir(exist_ok=True)
        write_npz(folder / name, **{key: labels})
    return paths


def test_each_object_counts_once_and_one_that_nobody_found_agrees(tmp_path: Path) -> None:
    gts = np.zeros((40, 40), np.uint8)
    gts[:10, :10], gts[20:30, 20:30], gts[35:, 35:] = 1, 2, 4  # there is no label 3
    one, other = gts.copy(), gts.copy()
    other[5:10, :10] = 0  # half of label 1
    one[35:, 35:] = other[35:, 35:] = 0
    paths = folders(tmp_path, "2DBox_US_a_0.npz", gts, one, other)
    found = list(agreements(*paths))
    assert [(o.label, o.iou) for o in found] == [(1, 0.5), (2, 1.0), (4, 1.0)]
    assert found[0].reference_dsc == 1
    assert found[0].other_dsc == pytest.approx(2 / 3)
    rows = agreement_table(found)
    assert [row["data set"] for row in rows] == ["2DBox_US_a", "pictures", "all"]
    assert rows[0] == {
        "data set": "2DBox_US_a", "objects": "3", "IoU": "0.8333", "worst": "0.5000", "below 0.95": "1",
        "below 0.85": "1", "below 0.8": "1", "reference DSC": "0.6667", "other DSC": "0.5556",
    }  # fmt: skip


def test_volumes_and_pictures_are_apart(tmp_path: Path) -> None:
    gts = np.ones((2, 8, 8), np.uint8)
    folders(tmp_path, "3DBox_CT_b_0.npz", gts, gts, gts)
    paths = folders(tmp_path, "2DBox_CT_b_0.npz", gts[0], gts[0], gts[0])
    assert [row["data set"] for row in agreement_table(list(agreements(*paths)))][2:] == ["pictures", "volumes", "all"]


def test_what_is_of_another_shape_is_refused_by_name(tmp_path: Path) -> None:
    gts = np.ones((8, 8), np.uint8)
    paths = folders(tmp_path, "2DBox_CT_b_0.npz", gts, gts, gts[:4])
    with pytest.raises(CaseReadError, match="other/2DBox_CT_b_0.npz"):
        list(agreements(*paths))
