"""A run goes through its recipe by steps, or by the clock, which only changes how fast."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.errors import UsageError
from repmedsam_train.recipe import Phase, Recipe
from repmedsam_train.run.schedule import (
    CHECKPOINT_SECONDS,
    VALIDATIONS,
    WARMED,
    Schedule,
    learning_rate,
)

phases = st.lists(
    st.builds(Phase, st.sampled_from([64, 128, 256]), st.integers(1, 500), st.integers(1, 32)), min_size=1, max_size=4
).map(tuple)
recipes = st.builds(Recipe, phases=phases, warmup_steps=st.integers(0, 50))
seconds = st.floats(0.01, 1e6)
shares = st.floats(0, 1)


@given(recipe=recipes, step=st.integers(0, 3000), late=seconds)
def test_without_a_time_the_steps_alone_decide(recipe: Recipe, step: int, late: float) -> None:
    schedule = Schedule(recipe)
    assert schedule.over(step, late) == (step >= recipe.steps)
    if step < recipe.steps:
        assert schedule.phase(step, late) == recipe.phase(step)
        assert schedule.rate(step, late) == learning_rate(step, recipe)
        assert schedule.validates(step + 1, 0, late, late) == ((step + 1) % recipe.validate_every == 0)
        assert schedule.saves(step + 1, late) == ((step + 1) % recipe.checkpoint_every == 0)


@given(recipe=recipes, limit=seconds, step=st.integers(0, 10_000))
def test_with_a_time_the_clock_decides_when_it_is_over(recipe: Recipe, limit: float, step: int) -> None:
    schedule = Schedule(replace(recipe, seconds=limit))
    assert not schedule.over(step, 0.999 * limit)
    assert schedule.over(step, limit)


@given(recipe=recipes, limit=seconds)
def test_phases_share_the_time_by_their_pixels(recipe: Recipe, limit: float) -> None:
    """Where one phase ends and the next begins, looked for among a thousand moments."""
    schedule = Schedule(replace(recipe, seconds=limit))
    costs = [phase.steps * phase.batch * phase.size**2 for phase in recipe.phases]
    end = 0.0
    for before, phase in enumerate(recipe.phases):
        begin, end = end, sum(costs[: before + 1]) / sum(costs)
        middle = (begin + end) / 2
        assert schedule.phase(0, middle * limit) == phase
        done = sum(p.steps for p in recipe.phases[:before])
        assert schedule.position(0, middle * limit) == pytest.approx(done + phase.steps / 2)


@given(recipe=recipes, limit=seconds, moments=st.lists(shares, min_size=2))
def test_the_recipe_goes_forward_only(recipe: Recipe, limit: float, moments: list[float]) -> None:
    schedule = Schedule(replace(recipe, seconds=limit))
    positions = [schedule.position(0, share * limit) for share in sorted(moments)]
    assert all(before <= after for before, after in pairwise(positions))
    assert schedule.position(0, 0) == 0
    assert schedule.position(0, 2 * limit) == recipe.steps


@given(recipe=recipes, limit=seconds, share=st.floats(0, 0.999), faster=st.floats(0.1, 10))
def test_the_same_part_of_any_time_is_the_same_part_of_the_recipe(
    recipe: Recipe, limit: float, share: float, faster: float
) -> None:
    one, other = Schedule(replace(recipe, seconds=limit)), Schedule(replace(recipe, seconds=limit * faster))
    assert one.position(0, share * limit) == pytest.approx(other.position(0, share * limit * faster), abs=1e-6)


@given(recipe=recipes, limit=seconds, shares=st.lists(shares, min_size=2))
def test_the_rate_follows_the_clock_up_and_down(recipe: Recipe, limit: float, shares: list[float]) -> None:
    schedule = Schedule(replace(recipe, seconds=limit))
    rates = [schedule.rate(10_000, share * limit) for share in sorted(shares)]
    assert all(0 < rate <= recipe.learning_rate for rate in rates)
    if recipe.warmup_steps == 0:
        assert all(before >= after for before, after in pairwise(rates))
    if recipe.warmup_steps < recipe.steps:
        assert schedule.rate(10_000, limit) == pytest.approx(recipe.learning_rate * recipe.final_rate)


def test_one_phase_halfway_has_half_the_rate() -> None:
    recipe = Recipe(phases=(Phase(64, 1000, 8),), warmup_steps=0, final_rate=0, seconds=60)
    assert Schedule(recipe).rate(3, 30) == pytest.approx(recipe.learning_rate / 2)


def test_a_first_step_that_takes_a_minute_does_not_end_the_warm_up() -> None:
    """As one does that compiles: the clock says that the warm-up is over, the optimiser has hardly begun."""
    recipe = Recipe(seconds=300)
    schedule = Schedule(recipe)
    assert schedule.position(1, 60) > recipe.warmup_steps
    assert schedule.rate(1, 60) == pytest.approx(recipe.learning_rate * 2 / WARMED)
    assert schedule.rate(WARMED, 60) == learning_rate(schedule.position(WARMED, 60), recipe)


@pytest.mark.parametrize("duration", [0.01, 0.7, 3.0, 70.0])
def test_validations_are_few_however_fast_steps_are(duration: float) -> None:
    schedule = Schedule(Recipe(seconds=100))
    ends = [(i + 1) * duration for i in range(math.ceil(100 / duration))]
    due = [end for end in ends if end < 100 and schedule.validates(1, end - duration, end, 0)]
    assert len(due) <= VALIDATIONS - 1  # and one at the end
    if duration < 20:
        assert due == pytest.approx([20, 40, 60, 80], abs=duration)


def test_validations_that_take_long_wait_for_the_end() -> None:
    schedule = Schedule(Recipe(seconds=100))
    assert schedule.validates(1, 39, 41, validating=4)
    assert not schedule.validates(1, 39, 41, validating=5)


def test_by_the_clock_checkpoints_are_a_minute_apart() -> None:
    schedule = Schedule(Recipe(seconds=1000, checkpoint_every=1))
    assert not schedule.saves(1, CHECKPOINT_SECONDS - 1)
    assert schedule.saves(1, CHECKPOINT_SECONDS)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="more than 0"):
        Recipe(seconds=seconds)
