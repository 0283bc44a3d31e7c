"""When a run does what: size of images, learning rate, validations, checkpoints, end; by its steps or by the clock.

By the clock (`Recipe.seconds`) the recipe is gone through at the speed of the machine. A step of it is taken to cost
its pixels: phases share the time in proportion to steps x batch x size^2. How far the recipe is, in its steps, follows
from the seconds alone, and everything else from that.
"""

import math
from itertools import accumulate

from repmedsam_train.recipe import Phase, Recipe

VALIDATIONS = 5  # by the clock, at even parts of the time; the last is at the end
VALIDATING = 0.1  # of the time so far: where validations took more, those before the end are left out
CHECKPOINT_SECONDS = 60.0  # by the clock, between checkpoints
WARMED = 10  # steps that a warm-up takes at least: the first step may compile for a minute, and the clock goes on


class Schedule:
    """Functions of the steps done and the seconds gone; nothing is kept, so a resumed run needs no more than both."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        costs = [phase.steps * phase.batch * phase.size**2 for phase in recipe.phases]
        self.ends = [cost / sum(costs) for cost in accumulate(costs)]  # of phases, in parts of the time

    def position(self, step: int, seconds: float) -> float:
        """Return how far the run is, in steps of the recipe; by the clock a fraction, from 0 to `recipe.steps`."""
        if self.recipe.seconds is None:
            return step
        share = min(1.0, seconds / self.recipe.seconds)
        begin, before = 0.0, 0
        for phase, end in zip(self.recipe.phases, self.ends, strict=True):
            if share < end:
                return before + phase.steps * (share - begin) / (end - begin)
            begin, before = end, before + phase.steps
        return before

    def over(self, step: int, seconds: float) -> bool:
        return step >= self.recipe.steps if self.recipe.seconds is None else seconds >= self.recipe.seconds

    def phase(self, step: int, seconds: float) -> Phase:
        """Return the phase that a step is in; beyond the end the last."""
        return self.recipe.phase(min(int(self.position(step, seconds)), self.recipe.steps - 1))

    def rate(self, step: int, seconds: float) -> float:
        """Return the learning rate of a step (from 0)."""
        rate = learning_rate(self.position(step, seconds), self.recipe)
        warming = min(WARMED, self.recipe.warmup_steps)
        if self.recipe.seconds is None or step >= warming:
            return rate
        return min(rate, self.recipe.learning_rate * (step + 1) / warming)

    def validates(self, done: int, before: float, now: float, validating: float) -> bool:
        """Whether to validate after step `done` (from 1), which lasted from second `before` to `now`, if it is not the
        last; `validating` are the seconds that validations took.
        """
        if self.recipe.seconds is None:
            return done % self.recipe.validate_every == 0
        part = self.recipe.seconds / VALIDATIONS
        return int(now / part) > int(before / part) and validating <= VALIDATING * now

    def saves(self, done: int, since: float) -> bool:
        """Whether to write a checkpoint after step `done` (from 1), `since` seconds after the one before."""
        if self.recipe.seconds is None:
            return done % self.recipe.checkpoint_every == 0
        return since >= CHECKPOINT_SECONDS


def learning_rate(position: float, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine from the peak to `recipe.final_rate` of it; `position` in steps of the recipe."""
    if position < recipe.warmup_steps:
        return min(recipe.learning_rate, recipe.learning_rate * (position + 1) / recipe.warmup_steps)
    progress = (position - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    falling = (1 + math.cos(math.pi * progress)) / 2
    return recipe.learning_rate * (recipe.final_rate + (1 - recipe.final_rate) * falling)
