"""The loop trains for so many steps or seconds, is taken up where it was, and keeps nothing that is not finite."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file

from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_train.data.batch import Batch
from repmedsam_train.loop import Task, train
from repmedsam_train.recipe import Phase, changed
from repmedsam_train.run.average import moving_average
from repmedsam_train.run.processes import Processes
from repmedsam_train.run.schedule import VALIDATIONS
from tests.training_tasks import ALONE, TINY, Brightness, Watched


class StoppedError(Exception):
    pass


def stopping(watched: Watched, step: int) -> Task[Brightness]:
    """The task of `watched`, which raises an error in its step `step`."""

    def loss(network: Brightness, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        if watched.losses == step:
            raise StoppedError
        return watched.loss(network, batch)

    return replace(watched.task(), loss=loss)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_loss_falls(tmp_path: Path) -> None:
    train(Watched().task(), replace(TINY, phases=(Phase(8, 100, 4),), learning_rate=2e-2), tmp_path, ALONE)
    losses = [float(row["loss"]) for row in rows_of(tmp_path) if row["loss"]]
    assert len(losses) == 10
    assert losses[-1] < losses[0] / 4


def test_by_steps_every_step_has_its_phase_and_its_batch(tmp_path: Path) -> None:
    watched = Watched()
    train(watched.task(), TINY, tmp_path, ALONE)
    assert watched.asked == [(step, TINY.phase(step)) for step in range(TINY.steps)]
    assert len(watched.validated) == 2


@pytest.mark.parametrize("seconds", [None, 1000.0])
@pytest.mark.parametrize("killed_in", [12, 17])
def test_a_killed_run_is_taken_up_bit_by_bit(tmp_path: Path, killed_in: int, seconds: float | None) -> None:
    """By the clock, too, where steps take the same time again."""
    recipe = replace(TINY, seconds=seconds)
    one = Watched(step_seconds=50)
    train(one.task(), recipe, tmp_path / "whole", ALONE, one.clock)
    other = Watched(step_seconds=50)
    with pytest.raises(StoppedError):
        train(stopping(other, killed_in), recipe, tmp_path / "broken", ALONE, other.clock)
    resumed = Watched(step_seconds=50)
    train(resumed.task(seed=1), recipe, tmp_path / "broken", ALONE, resumed.clock)
    assert 0 < len(resumed.asked) < len(one.asked)
    for name in ("model.safetensors", "last.safetensors"):
        whole, broken = load_file(tmp_path / "whole" / name), load_file(tmp_path / "broken" / name)
        assert all(torch.equal(whole[key], broken[key]) for key in whole)


def test_a_run_that_is_done_does_nothing_more(tmp_path: Path) -> None:
    for recipe in (TINY, replace(TINY, seconds=10)):
        out = tmp_path / str(recipe.seconds)
        first, again = Watched(step_seconds=1), Watched(step_seconds=1)
        weights = train(first.task(), recipe, out, ALONE, first.clock)
        written = weights.read_bytes()
        assert train(again.task(), recipe, out, ALONE, again.clock).read_bytes() == written
        assert not again.asked
        assert not again.validated


def test_a_run_ends_on_time(tmp_path: Path) -> None:
    """With the step in which the time is over; the last validation follows."""
    watched = Watched(step_seconds=7, validation_seconds=3)
    train(watched.task(), replace(TINY, seconds=100), tmp_path, ALONE, watched.clock)
    assert 100 <= watched.clock.seconds - 1000 <= 100 + 7 + 3
    assert 2 <= len(watched.validated) <= VALIDATIONS


def test_a_time_shorter_than_a_step_is_a_step(tmp_path: Path) -> None:
    watched = Watched(step_seconds=7)
    weights = train(watched.task(), replace(TINY, seconds=1), tmp_path, ALONE, watched.clock)
    assert watched.losses == 1
    assert load_file(weights).keys() == load_file(tmp_path / "last.safetensors").keys()


def test_by_the_clock_phases_share_the_time_and_not_the_steps(tmp_path: Path) -> None:
    watched = Watched(step_seconds=1)
    train(watched.task(), replace(TINY, seconds=110), tmp_path, ALONE, watched.clock)
    small, large = TINY.phases
    share = 12 * 8**2 / (12 * 8**2 + 8 * 16**2)
    assert watched.asked[0][1] == small
    assert sum(phase == small for _, phase in watched.asked) == pytest.approx(110 * share, abs=2)
    assert watched.asked[-1][1] == large


def test_the_time_before_a_run_was_taken_up_counts(tmp_path: Path) -> None:
    recipe = replace(
        TINY, seconds=1000
    )  # 20 steps; the last checkpoint of the 5 is of step 4, as they are a minute apart
    killed, rest = Watched(step_seconds=50), Watched(step_seconds=50)
    with pytest.raises(StoppedError):
        train(stopping(killed, 5), recipe, tmp_path, ALONE, killed.clock)
    train(rest.task(), recipe, tmp_path, ALONE, rest.clock)
    assert rest.losses == 16
    assert [row["seconds"] for row in rows_of(tmp_path)][-1] == "1000"


def test_validations_do_not_eat_the_time(tmp_path: Path) -> None:
    """One that takes long is seen once before the end, and then at the end."""
    watched = Watched(step_seconds=1, validation_seconds=30)
    train(watched.task(), replace(TINY, seconds=100), tmp_path, ALONE, watched.clock)
    assert len(watched.validated) == 2
    assert watched.losses == 70


def test_a_validation_beyond_the_end_is_the_last(tmp_path: Path) -> None:
    watched = Watched(step_seconds=1, validation_seconds=500)
    train(watched.task(), replace(TINY, seconds=100), tmp_path, ALONE, watched.clock)
    assert len(watched.validated) == 1
    assert (tmp_path / "last.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    assert (tmp_path / "latest.pt").exists()


@pytest.mark.parametrize("seconds", [None, 1000.0])
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_what_was_good(tmp_path: Path, seconds: float | None) -> None:
    watched = Watched(step_seconds=50, poison=12)
    with pytest.raises(UsageError, match=r"no longer finite .* at step 1\d .*learning_rate"):
        train(watched.task(), replace(TINY, seconds=seconds), tmp_path, ALONE, watched.clock)
    state = torch.load(tmp_path / "latest.pt", weights_only=True)
    assert 0 < state["step"] <= 12
    assert all(tensor.isfinite().all() for tensor in state["model"].values())
    rest = Watched(step_seconds=50)
    assert load_file(train(rest.task(), replace(TINY, seconds=seconds), tmp_path, ALONE, rest.clock))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latest.pt").write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match=r"latest\.pt is not a checkpoint of this network"):
        train(Watched().task(), TINY, tmp_path, ALONE)
    torch.save({"step": 3, "model": {}}, tmp_path / "latest.pt")
    with pytest.raises(UsageError, match=r"latest\.pt is not a checkpoint of this network"):
        train(Watched().task(), TINY, tmp_path, ALONE)


def test_the_log_says_how_fast_it_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watched = Watched(step_seconds=2)
    train(watched.task(), replace(TINY, phases=(Phase(8, 20, 4),)), tmp_path, ALONE, watched.clock)
    rows = [row for row in rows_of(tmp_path) if row["loss"]]
    assert [(row["step"], row["seconds"]) for row in rows] == [("10", "20"), ("20", "40")]
    assert {(row["images_per_second"], row["waiting"], row["gpu"]) for row in rows} == {("2.0", "0.00", "")}
    assert "2.0 images a second, 0% of the time waiting for batches" in capsys.readouterr().out


def test_compiling_is_for_gpus(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--compile is for GPUs"):
        train(Watched().task(), replace(TINY, compiled=True), tmp_path, ALONE)


def test_processes_but_the_first_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of them by itself: that they work together, test_processes shows."""

    class Second(Processes):
        def agreed(self, value: float) -> float:
            return value

        def mean(self, values: torch.Tensor) -> torch.Tensor:
            return values

        def averaging(self, module: torch.nn.Module, **_: bool) -> torch.nn.Module:
            return module

    watched = Watched()
    train(watched.task(), TINY, tmp_path, Second(1, 2, torch.device("cpu")))
    assert watched.losses == TINY.steps
    assert not watched.validated
    assert not list(tmp_path.iterdir())
    assert not capsys.readouterr().out


def test_the_average_of_all_tensors_at_once_is_that_of_each() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 2, 1))
    average = moving_average(model, 0.9)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for step in range(120):  # the decay grows for 80 of them
        model(torch.rand(2, 3, 8, 8))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update_parameters(model)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            floating = tensor.is_floating_point()
            expected[name] = expected[name].lerp(tensor, 1 - decay) if floating else tensor.clone()
    for name, tensor in average.module.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert int(average.module.state_dict()["1.num_batches_tracked"]) == 120


def test_frozen_and_unused_weights_stay(tmp_path: Path) -> None:
    written = load_file(train(Watched().task(), TINY, tmp_path, ALONE))
    torch.manual_seed(0)
    before = Brightness().state_dict()
    same = {name for name in before if torch.equal(before[name], written[name])}
    assert same == {"unused", "frozen"}


def test_reading_cases_is_not_the_runs_time(tmp_path: Path) -> None:
    watched = Watched(step_seconds=10)

    def load(step: int, phase: Phase) -> Batch:
        watched.clock.seconds += 0 if watched.asked else 50
        return watched.load(step, phase)

    train(replace(watched.task(), load=load), replace(TINY, seconds=100), tmp_path, ALONE, watched.clock)
    assert watched.losses == 10


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    train(Watched().task(), TINY, tmp_path, ALONE)
    train(Watched().task(), replace(TINY, validate_every=3), tmp_path, ALONE)
    with pytest.raises(UsageError, match=r"another learning_rate: name another --out"):
        train(Watched().task(), replace(TINY, learning_rate=0.5), tmp_path, ALONE)


@pytest.mark.parametrize("held", [[1, 2], {"step": 1, "model": 3}, 5])
def test_a_checkpoint_of_something_else_is_one_line(tmp_path: Path, held: object) -> None:
    torch.save(held, tmp_path / "latest.pt")
    with pytest.raises(UsageError, match=r"latest\.pt is not a checkpoint"):
        train(Watched().task(), TINY, tmp_path, ALONE)


def test_a_validation_is_followed_by_a_checkpoint_and_the_log_has_no_step_twice(tmp_path: Path) -> None:
    recipe = replace(TINY, checkpoint_every=100, phases=(Phase(8, 40, 4),), validate_every=15)
    with pytest.raises(StoppedError):
        train(stopping(Watched(), 27), recipe, tmp_path, ALONE)
    state = torch.load(tmp_path / "latest.pt", weights_only=True)
    assert state["step"] == 15
    assert state["best"] > -float("inf")
    train(Watched().task(), recipe, tmp_path, ALONE)
    steps = [int(row["step"]) for row in rows_of(tmp_path) if row["loss"]]
    assert steps == [10, 20, 30, 40]


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(SetupError, match="out cannot be used"):
        train(Watched().task(), TINY, tmp_path / "out", ALONE)


@pytest.mark.parametrize("text", ["phases = []", "seed = -1", "boxes_per_image = 0", "validation_samples = 0"])
def test_values_that_no_run_can_have_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.toml").write_text(text)
    with pytest.raises(UsageError, match=text.split(" = ", maxsplit=1)[0]):
        changed(TINY, tmp_path / "odd.toml")


def test_a_misspelt_key_of_a_phase_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text("phases = [{ size = 128, steps = 3, batch = 4, draw = 0.5 }]")
    with pytest.raises(UsageError, match="a phase has no field draw"):
        changed(TINY, tmp_path / "odd.toml")
