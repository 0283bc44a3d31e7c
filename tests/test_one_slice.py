"""What a box on one slice is worth, measured beside the 3D box, on drawn volumes."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

from typer.testing import CliRunner

from repmedsam_infer.case import read_case
from repmedsam_infer.evaluation.evaluate import read_ground_truth
from repmedsam_train.cli import app
from repmedsam_train.comparison.one_slice import OneSliceScore, on_one_slice, one_slice_table


@pytest.mark.parametrize("where", ["largest", "middle"])
def test_every_object_gets_a_tight_box_on_one_of_its_slices(samples: Path, where: str) -> None:
    for path in samples.glob("3D*.npz"):
        case, (gts, _) = read_case(path), read_ground_truth(path)
        seeded = on_one_slice(case, gts, where)  # type: ignore[arg-type]
        assert seeded.boxes.open_ended == set(seeded.boxes.labels.tolist())
        for label, box in zip(seeded.boxes.labels.tolist(), seeded.boxes.corners.astype(int).tolist(), strict=True):
            x_min, y_min, z, x_max, y_max, last = box
            assert z == last
            on_slice = gts[z] == label
            assert on_slice[y_min : y_max + 1, x_min : x_max + 1].sum() == on_slice.sum() > 0
            if where == "largest":
                assert on_slice.sum() == (gts == label).sum((1, 2)).max()


def test_the_table_has_shares_of_ends_and_means_by_data_set() -> None:
    scores = [
        OneSliceScore("3DBox_CT_a", (0, 2), 0.8, 0.9, 0.7),
        OneSliceScore("3DBox_CT_a", (1, 5), 0.6, 0.9, 0.7),
        OneSliceScore("3DBox_MR_b", (0, 0), 0.9, 0.9, 0.9),
    ]
    first, second, mean = one_slice_table(scores)
    assert (first["ends right"], first["within 1"], first["within 2"]) == ("0.25", "0.50", "0.75")
    assert (first["objects"], first["DSC, one slice"], first["DSC, 3D box"]) == ("2", "0.7000", "0.9000")
    assert second["DSC, 3D box, follow"] == "0.9000"
    assert (mean["ends right"], mean["DSC, one slice"], mean["objects"]) == ("0.62", "0.8000", "3")


@pytest.mark.slow
def test_the_command_measures_a_folder_and_refuses_one_without_volumes(samples: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["one-slice", str(samples)])
    assert done.exit_code == 0, done.output
    assert "| 3DBox_MR_phantom |" in done.output
    rows = [line.split("|") for line in done.output.splitlines() if line.startswith("| 3DBox")]
    assert np.mean([float(row[6]) for row in rows]) > 0.6
    (tmp_path / "2DBox_US_a_0000.npz").write_bytes((samples / "2DBox_US_phantom_0000.npz").read_bytes())
    refused = CliRunner().invoke(app, ["one-slice", str(tmp_path)])
    assert refused.exit_code != 0
    assert "there are no volumes with objects" in str(refused.exception)
