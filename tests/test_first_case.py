"""The first case of a run is read while the networks are loaded, and nothing else changes by that."""

from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.batch import first_case
from repmedsam_infer.batch.first_case import FirstCase
from repmedsam_infer.batch.report import CaseReport
from repmedsam_infer.errors import CaseReadError
from tests.conftest import good_box, good_image, write_npz


@pytest.fixture
def case(tmp_path: Path) -> Path:
    path = tmp_path / "2DBox_US_1.npz"
    write_npz(path, imgs=good_image(), boxes=good_box())
    return path


def test_it_is_given_away_once_and_its_seconds_are_the_cases(case: Path) -> None:
    first = FirstCase(case)
    assert first.case is not None
    case.unlink()
    assert np.array_equal(first.read(case).imgs, good_image())
    with pytest.raises(CaseReadError):
        first.read(case)
    report = CaseReport(case.name, "ok", seconds=1.0, stages={"read": 0.5})
    first.count_in(report)
    assert report.seconds == 1.0 + first.seconds
    assert report.stages["read"] == 0.5 + first.seconds


def test_a_large_one_waits_until_the_networks_took_their_memory(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_case, "MOST_BYTES", good_image().nbytes - 1)
    first = FirstCase(case)
    assert first.case is None
    assert np.array_equal(first.read(case).imgs, good_image())


@pytest.mark.parametrize("content", [b"", b"no npz", None])
def test_what_cannot_be_read_is_reported_when_it_is_its_turn(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "2DBox_US_1.npz"
    if content is not None:
        path.write_bytes(content)
    first = FirstCase(path)
    with pytest.raises(CaseReadError):
        first.read(path)
