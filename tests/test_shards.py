"""Shards: every case in exactly one, whatever is asked how; and what batch systems say of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.errors import UsageError
from repmedsam_infer.shards.array_job import SYSTEMS, choose_shard
from repmedsam_infer.shards.shard import Shard, parse_shard

NAMES = st.lists(st.text(st.characters(exclude_categories=()), min_size=1), unique=True, max_size=30)


@given(names=NAMES, count=st.integers(1, 40))
def test_every_case_is_in_exactly_one_shard(names: list[str], count: int) -> None:
    shards = [Shard(i, count) for i in range(1, count + 1)]
    for name in filter(is_a_files, names):
        assert sum(shard.holds(name) for shard in shards) == 1


@given(rows=st.integers(0, 200), count=st.integers(1, 40))
def test_the_rows_of_a_manifest_are_dealt_in_turn(rows: int, count: int) -> None:
    shards = [Shard(i, count) for i in range(1, count + 1)]
    sizes = [sum(map(shard.holds_row, range(rows))) for shard in shards]
    assert sum(sizes) == rows
    assert max(sizes) - min(sizes) <= 1


def is_a_files(name: str) -> bool:
    """Whether a file could be called so."""
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def test_a_cases_shard_does_not_change_between_versions() -> None:
    """A task that is run again after an update goes on with its own cases."""
    shards = {name: next(i for i in range(1, 17) if Shard(i, 16).holds(name)) for name in ("a.npz", "b.npz", "ä/ö.npz")}
    assert shards == {"a.npz": 9, "b.npz": 6, "ä/ö.npz": 7}


def test_shards_of_many_cases_are_about_as_large() -> None:
    names = [f"2DBox_US_{i:06}.npz" for i in range(10_000)]
    sizes = [sum(Shard(i, 10).holds(name) for name in names) for i in range(1, 11)]
    assert sum(sizes) == len(names)
    assert min(sizes) > 900
    assert max(sizes) < 1100


@given(count=st.integers(1, 1000), data=st.data())
def test_shards_are_read_as_they_are_written(count: int, data: st.DataObject) -> None:
    shard = Shard(data.draw(st.integers(1, count)), count)
    assert parse_shard(str(shard)) == shard
    assert parse_shard(str(count)) == count
    assert choose_shard(str(shard), {"SLURM_ARRAY_TASK_ID": "nonsense"}).shard == shard


@pytest.mark.parametrize(
    "text", ["", "0/4", "5/4", "-1/4", "1/0", "1/2/3", "a/4", "/4", "4/", "1.5/4", "1/1000001", "²/4", "one"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        parse_shard(text)


def slurm(task: int, first: int, last: int, step: int = 1, count: int | None = None) -> dict[str, str]:
    values = {"ID": task, "MIN": first, "MAX": last, "STEP": step, "COUNT": count or (last - first) // step + 1}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


def grid_engine(task: int, first: int, last: int, step: int = 1) -> dict[str, str]:
    values = {"ID": task, "FIRST": first, "LAST": last, "STEPSIZE": step}
    return {f"SGE_TASK_{name}": str(value) for name, value in values.items()}


@given(first=st.integers(0, 1), count=st.integers(2, 50), step=st.integers(1, 7))
def test_the_tasks_of_an_array_do_every_shard_once(first: int, count: int, step: int) -> None:
    last = first + (count - 1) * step
    for of_system in (slurm, grid_engine):
        chosen = [choose_shard(None, of_system(task, first, last, step)) for task in range(first, last + 1, step)]
        assert [one.shard for one in chosen] == [Shard(i, count) for i in range(1, count + 1)]
        assert all(one.variable for one in chosen)


@pytest.mark.parametrize(
    ("environment", "given", "expected"),
    [
        ({}, None, None),
        ({"SGE_TASK_ID": "undefined"}, None, None),
        ({"SLURM_ARRAY_TASK_ID": ""}, None, None),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, None, Shard(1, 3)),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, "3", Shard(3, 3)),
        ({"JOB_COMPLETION_INDEX": "0"}, "16", Shard(1, 16)),
        ({"JOB_COMPLETION_INDEX": "15"}, "16", Shard(16, 16)),
        ({"PBS_ARRAY_INDEX": "16"}, "16", Shard(16, 16)),
        ({"PBS_ARRAYID": "1"}, "2", Shard(1, 2)),
        ({"JOB_COMPLETION_INDEX": "3"}, "all", None),
        (slurm(3, 0, 9), "all", None),
        (slurm(3, 0, 9), "2/5", Shard(2, 5)),
        (slurm(3, 0, 9), "10", Shard(4, 10)),
    ],
)
def test_what_a_task_does(environment: dict[str, str], given: str | None, expected: Shard | None) -> None:
    assert choose_shard(given, environment).shard == expected


@pytest.mark.parametrize(
    ("environment", "given", "said"),
    [
        ({}, "16", "write I/16"),
        ({"JOB_COMPLETION_INDEX": "3"}, None, "not of how many"),
        ({"PBS_ARRAY_INDEX": "3"}, None, "not of how many"),
        ({"JOB_COMPLETION_INDEX": "16"}, "16", "none of 16 tasks"),
        ({"PBS_ARRAY_INDEX": "0"}, "16", "none of 16 tasks"),
        ({"JOB_COMPLETION_INDEX": "-1"}, "16", "no number"),
        (slurm(7, 3, 7, count=2), None, "2 of the 5"),  # --array=3,7
        (slurm(3, 3, 3), "16", "has 1 tasks"),  # --array=3 again, of 16
        (slurm(3, 3, 3), None, "submitted again"),
        (slurm(4, 3, 5), None, "submitted again"),  # --array=3-5
        (slurm(1, 1, 1), None, "submitted again"),
        ({**slurm(3, 0, 9), "SLURM_ARRAY_TASK_MAX": "x"}, None, "no number"),
    ],
)
def test_a_task_that_cannot_know_its_shard_says_what_to_write(
    environment: dict[str, str], given: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        choose_shard(given, environment)
    assert "--shard" in str(refused.value)


def test_every_system_has_a_variable_of_its_own() -> None:
    assert len({system.task for system in SYSTEMS}) == len(SYSTEMS)
