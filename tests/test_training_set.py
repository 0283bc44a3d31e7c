"""Batches of a data set: the same whenever asked for, other ones for each rank, from pools that follow each other."""

import subprocess
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from repmedsam_infer.errors import CaseReadError, UsageError  # noqa: E402
from repmedsam_train.data import dataset as dataset_module  # noqa: E402
from repmedsam_train.data import stream  # noqa: E402
from repmedsam_train.data.augmentation import NO_AUGMENTATION  # noqa: E402
from repmedsam_train.data.batch import Batch  # noqa: E402
from repmedsam_train.data.dataset import TrainingSet  # noqa: E402
from repmedsam_train.data.packing.pack import pack  # noqa: E402
from repmedsam_train.data.stored_cases import find_training_cases  # noqa: E402
from repmedsam_train.data.stream import Parts, even_parts  # noqa: E402
from tests.labelled_cases import arrays, write_case  # noqa: E402

CPU = torch.device("cpu")


def same(first: Batch, second: Batch) -> bool:
    return all(torch.equal(getattr(first, entry.name), getattr(second, entry.name)) for entry in fields(Batch))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures."""
    cases = tmp_path_factory.mktemp("cases")
    for i in range(20):
        write_case(cases / f"2DBox_US_a_{i:04}.npz", *arrays(i, (1, 40, 30), 3, colour=False))
    return cases


@pytest.fixture(scope="module")
def packed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed")
    assert len(pack(folder, out, most_mb=0.02).shards) > 4
    return out


@pytest.mark.parametrize("epochs", [False, True])
@pytest.mark.parametrize("pool_mb", [100, 0.02])
def test_a_batch_is_the_same_whenever_it_is_asked_for(
    packed: Path, epochs: bool, pool_mb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STEPS", 2)
    first, second = (TrainingSet(packed, CPU, 5, epochs=epochs, pool_mb=pool_mb) for _ in range(2))
    assert first.parts.whole == (pool_mb == 100)
    batches = [first.batch(step, 3, 64, 2) for step in range(9)]
    for step in (7, 2, 8):
        assert same(batches[step], second.batch(step, 3, 64, 2))
    assert not same(batches[0], batches[1])
    assert not same(batches[0], second.batch(0, 3, 64, 2, rank=1, ranks=2))
    assert not same(batches[0], TrainingSet(packed, CPU, 6, epochs=epochs, pool_mb=pool_mb).batch(0, 3, 64, 2))


@pytest.mark.parametrize("packed_or_not", ["folder", "packed"])
def test_parts_of_a_round_hold_every_case_once_and_fit(
    packed_or_not: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "TOGETHER", 3)
    paths = find_training_cases(request.getfixturevalue(packed_or_not))
    parts = Parts(paths, 352, 0, 30_000)
    assert not parts.whole
    orders = []
    for rank in (0, 1):
        for number in (0, 1):
            cases = [parts.part(k, rank).cases for k in range(100)]
            of_round = parts.round(number, rank)
            assert sorted(np.concatenate(of_round)) == list(range(20))
            assert all(parts.sizes[part].sum() <= 30_000 for part in of_round)
            orders.append(tuple(np.concatenate(of_round)))
        count = len(parts.round(0, rank)) + len(parts.round(1, rank))
        assert sorted(np.concatenate(cases[:count])) == sorted([*range(20), *range(20)])
    assert len(set(orders)) == 4


@given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=40), most=st.integers(1, 300))
def test_parts_are_as_few_as_fit_and_about_even(sizes: list[int], most: int) -> None:
    parts = even_parts(sizes, most)
    assert sorted(place for part in parts for place in part) == list(range(len(sizes)))
    totals = [sum(sizes[place] for place in part) for part in parts]
    assert all(total <= most or len(part) == 1 for part, total in zip(parts, totals, strict=True))
    shared = [total for total in totals if total <= most]
    assert not shared or max(shared) - min(shared) <= max(size for size in sizes if size <= most)


def test_a_little_more_than_fits_is_two_halves() -> None:
    assert sorted(map(len, even_parts([64] * 127, 8000))) == [63, 64]
    assert sorted(map(len, even_parts([64] * 100 + [9000], 8000))) == [1, 100]


def test_a_part_without_objects_does_not_end_a_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STEPS", 1)
    monkeypatch.setattr(stream, "TOGETHER", 1)
    nothing = (np.ones((1, 40, 30), np.uint8), np.zeros((1, 40, 30), np.uint8))
    empty = [write_case(tmp_path / f"2DBox_US_b_{i:04}.npz", *nothing) for i in range(4)]
    paths = [folder / "2DBox_US_a_0000.npz", *empty]
    for epochs in (False, True):
        dataset, again = (TrainingSet(paths, CPU, 0, epochs=epochs, pool_mb=0.005) for _ in range(2))
        batches = [dataset.batch(step, 1, 64, 1) for step in range(8)]
        assert all(bool(batch.valid.all()) for batch in batches)
        assert same(batches[6], again.batch(6, 1, 64, 1))
    with pytest.raises(UsageError, match="none of the cases holds an object"):
        TrainingSet(empty, CPU, 0, pool_mb=0.005).batch(0, 1, 64, 1)


def test_a_process_does_not_wait_at_its_end_for_the_pool_that_comes_next() -> None:
    """The first pool is there at once; the second takes a minute."""
    program = """
import time
from repmedsam_train.data.stream import Part, PoolStream
first, second = (Part(number, 0, None) for number in range(2))
PoolStream(lambda part: time.sleep(60 * part.number)).pool(first, second)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=40, cwd=Path(__file__).parent.parent)


@pytest.mark.parametrize("most_bytes", [10**9, 20_000])
def test_ranks_share_an_epoch(packed: Path, most_bytes: int) -> None:
    """Together they visit each picture once; in parts, up to a step's visits of each are left out."""
    parts = Parts(find_training_cases(packed), 352, 0, most_bytes)
    visited: Counter[int] = Counter()
    in_round = 1 if parts.whole else len(parts.round(0, 0))
    step = 0
    while step < 10 and (at := parts.visits_at(step, 1, 0, 2))[0].number < in_round:
        visited.update(at[0].cases[at[2]].tolist())
        part, _, places = parts.visits_at(step, 1, 1, 2)
        visited.update(part.cases[places].tolist())
        step += 1
    assert set(visited.values()) == {1}
    assert len(visited) >= 20 - (0 if parts.whole else in_round)


def test_the_next_pool_is_read_ahead(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STEPS", 2)
    dataset = TrainingSet(packed, CPU, 0, pool_mb=0.02)
    dataset.batch(0, 2, 64, 1)
    pools = dataset.pools
    assert sorted(part.number for part in pools.pools) == [0, 1]
    ahead = {part.number: future for part, future in pools.pools.items()}[1]
    dataset.batch(2, 2, 64, 1)
    assert {part.number: future for part, future in pools.pools.items()}[1] is ahead
    assert sorted(part.number for part in pools.pools) == [1, 2]


def test_drawn_cases_are_drawn_as_often_as_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn ones are square; the real ones here end before the image does."""
    monkeypatch.setattr(dataset_module, "DRAWN_CASES", 24)
    dataset = TrainingSet(folder, CPU, 0, NO_AUGMENTATION, drawn=True)
    for share in (0.0, 0.3):
        batch = dataset.batch(0, 200, 32, 1, drawn=share)
        square = batch.images[:, :, :, -1].flatten(1).any(1)
        assert abs(float(square.float().mean()) - share) < 0.12


def test_a_run_that_is_taken_up_later_has_the_batches_that_it_would_have_had(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn cases are larger than the real ones here, and in the pool also where no more of them are asked for."""
    monkeypatch.setattr(dataset_module, "DRAWN_CASES", 24)
    whole, later = (TrainingSet(folder, CPU, 0, drawn=True) for _ in range(2))
    whole.batch(0, 8, 64, 4, drawn=0.5)
    assert same(whole.batch(1, 8, 64, 4), later.batch(1, 8, 64, 4))
    with pytest.raises(ValueError, match="drawn=True"):
        TrainingSet(folder, CPU).batch(0, 8, 64, 4, drawn=0.5)


def test_what_cannot_be_trained_on_is_refused(folder: Path, tmp_path: Path) -> None:
    empty = write_case(tmp_path / "2DBox_US_a_0000.npz", np.ones((1, 9, 9), np.uint8), np.zeros((1, 9, 9), np.uint8))
    with pytest.raises(UsageError, match="none of the cases holds an object"):
        TrainingSet([empty], CPU).batch(0, 1, 64, 1)
    full = folder / "2DBox_US_a_0000.npz"
    batch = TrainingSet([empty, full], CPU, epochs=True).batch(0, 2, 64, 1)  # another is drawn in its place
    assert batch.valid.all()
    broken = tmp_path / "2DBox_US_a_0001.npz"
    broken.write_bytes(b"no zip")
    with pytest.raises(CaseReadError, match="2DBox_US_a_0001"):
        TrainingSet([full, broken], CPU).batch(0, 1, 64, 1)
