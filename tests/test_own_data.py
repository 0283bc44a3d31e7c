"""What `make own-data` measures: the way from files as people have them to weights of their own."""

import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

nib = pytest.importorskip("nibabel")
pytest.importorskip("torch")

from repmedsam_infer.boxes import tight_boxes  # noqa: E402
from repmedsam_infer.engines.weights import find_weights  # noqa: E402
from repmedsam_infer.errors import UsageError  # noqa: E402
from repmedsam_train.cli import app  # noqa: E402
from repmedsam_train.recipe import RecipeName, named_recipe, shortened  # noqa: E402
from tests import own_data  # noqa: E402
from tests.conftest import good_image, write_npz  # noqa: E402


def write_cases(folder: Path, kind: str) -> Path:
    """20 cases with two objects, each its own."""
    folder.mkdir()
    for i in range(20):
        imgs = np.random.default_rng(i).integers(0, 40, (48, 64, 3), np.uint8) + good_image(48, 64)
        gts = np.zeros((48, 64), np.uint8)
        gts[14 : 20 + i, 22:41], gts[2:5, 2 + i : 9 + i] = 1, 2
        arrays = {"imgs": imgs, "gts": gts}
        if kind.startswith("3D"):
            arrays = {"imgs": np.stack([imgs[..., 0]] * 3), "gts": np.stack([gts, gts * 0, gts])}
            arrays["spacing"] = np.array([2.0, 0.5, 0.75])
        write_npz(folder / f"{kind}_{i:04}.npz", boxes=tight_boxes(arrays["gts"]), **arrays)
    return folder


@pytest.mark.parametrize("kind", ["2DBox_US_drawn", "3DBox_MR_drawn"])
def test_files_become_the_cases_that_they_were(kind: str, tmp_path: Path) -> None:
    parts = own_data.chosen(write_cases(tmp_path / "cases", kind), kind.partition("_")[2])
    assert {part: len(paths) for part, paths in parts.items()} == {"train": 14, "val": 6}
    manifest = own_data.write_as_people_have_them(parts, tmp_path / "data")
    done = CliRunner().invoke(app, ["cases", str(manifest), "-o", str(tmp_path / "my")])
    assert done.exit_code == 0, done.output
    own_data.check_unchanged(parts, tmp_path / "my")


def test_too_few_cases(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="20 are needed"):
        own_data.chosen(write_cases(tmp_path / "cases", "2DBox_US_drawn"), "US_other")


def test_the_recipe_for_own_data_leaves_the_encoder_alone() -> None:
    recipe = named_recipe("own-data", 14, 6)
    assert recipe.heads_only
    assert recipe.fused
    assert recipe.steps == shortened(recipe, 1).steps > recipe.warmup_steps
    assert "own-data" in get_args(RecipeName)
    with pytest.raises(UsageError, match="own-data"):
        named_recipe("other", 14, 6)


@pytest.mark.slow
def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cases = write_cases(tmp_path / "cases", "2DBox_US_drawn")
    words = ["own_data", cases, "US_drawn", "--out", tmp_path / "own", "--more", "shorten=0.005"]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    own_data.main()
    assert capsys.readouterr().out.splitlines()[-1].startswith("| mean | 12 | 0.")
    new = find_weights(tmp_path / "own" / "weights")
    assert new.confidence() is not None
    assert new.calibration() == find_weights().calibration()
