"""Thousands of changed files of NRRD and MetaImage: one sentence each, or a scan that is as it should be."""

from pathlib import Path

import pytest

from tests.fuzz.headers import check_many


@pytest.mark.parametrize(("seed", "count"), [(1, 1_500), pytest.param(2, 60_000, marks=pytest.mark.slow)])
def test_changed_headers_are_read_or_refused_in_one_sentence(seed: int, count: int, tmp_path: Path) -> None:
    was_read, refused = check_many(seed, count, tmp_path)
    assert was_read > count // 10
    assert refused > count // 10
