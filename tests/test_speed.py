"""Variants are compared on the same cases, in turn, with a table, a plot and every single time."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from repmedsam_infer.case import read_case
from repmedsam_infer.engines.weights import Weights
from repmedsam_train.comparison.speed import (
    BASELINE,
    OURS,
    PAPER,
    UNFUSED,
    Variant,
    compare_speed,
    cut,
    table,
    variants,
    write,
)
from tests.conftest import write_npz
from tests.test_segment import BoxEngine


@pytest.fixture
def cases(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    picture, volume = rng.integers(0, 256, (40, 50, 3), np.uint8), rng.integers(0, 256, (9, 40, 50), np.uint8)
    return [
        write_npz(tmp_path / "2D.npz", imgs=picture, boxes=np.array([[5, 5, 20, 20], [25, 5, 40, 30]])),
        write_npz(tmp_path / "3D.npz", imgs=volume, boxes=np.array([[5, 5, 1, 20, 20, 7], [9, 9, 4, 14, 14, 8]])),
    ]


def test_volumes_are_cut_to_their_middle_with_their_boxes(cases: list[Path]) -> None:
    whole = read_case(cases[1])
    middle = cut(whole, 3)
    np.testing.assert_array_equal(middle.imgs, whole.imgs[3:6])
    assert middle.boxes.corners[:, [2, 5]].tolist() == [[0, 2], [1, 2]]
    assert cut(whole, 9) is whole


def test_box_by_box_encodes_for_every_box_and_gives_the_same(cases: list[Path]) -> None:
    engines = [BoxEngine(), BoxEngine()]
    alone, together = (Variant("", (e, e), box_by_box) for e, box_by_box in zip(engines, (True, False), strict=True))
    case = read_case(cases[1])
    np.testing.assert_array_equal(alone.do(case), together.do(case))
    assert [len(engine.images) for engine in engines] == [7 + 5, 8]


@pytest.mark.slow
def test_every_way_does_every_case(cases: list[Path], weights: Weights, tmp_path: Path) -> None:
    everyone = variants(weights, 2)
    done = compare_speed(cases, everyone, 1, 1, tmp_path, lambda _: None)
    for name in (BASELINE, UNFUSED, PAPER, OURS):
        assert name in table(done, everyone)
    write(tmp_path / "out", done, everyone)
    written = json.loads((tmp_path / "out" / "speed.json").read_text())
    assert all(len(seconds) == 1 for variant in written["seconds"].values() for seconds in variant.values())
    assert (tmp_path / "out" / "speed.png").stat().st_size > 10_000
