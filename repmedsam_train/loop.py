"""The loop that both stages share, on a CPU or a GPU, alone or in several processes, for so many steps or seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

import cv2
from safetensors.torch import save
from torch import Tensor, nn

from repmedsam_infer.errors import SetupError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_train.data.batch import Batch
from repmedsam_train.pictures import U8, draw_log
from repmedsam_train.recipe import Phase, Recipe
from repmedsam_train.run.average import moving_average
from repmedsam_train.run.checkpoint import Progress, load_checkpoint, save_checkpoint
from repmedsam_train.run.gpu import set_up
from repmedsam_train.run.log import RunLog
from repmedsam_train.run.processes import Processes, lost_processes
from repmedsam_train.run.schedule import Schedule
from repmedsam_train.run.step import Ahead, Objective, Sums, optimizer_of, update

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Task(Generic[M]):
    """What is trained, on what, and how it is judged.

    `load` gives the batch of a step, as the phase that the step is in says. `loss` gives a batch's loss and a metric to
    log; `validate`, of the averaged network, a number to make as large as can be. `settings` become the metadata of the
    weights. `picture`, if there is one, shows what it does on the way. `all_used` says that every trained weight has a
    part in every loss, so that several processes need not look for those that have none.
    """

    model: M
    load: Callable[[int, Phase], Batch]
    loss: Callable[[M, Batch], tuple[Tensor, Tensor]]
    validate: Callable[[M], float]
    settings: dict[str, str]
    picture: Callable[[M], U8] | None = None
    all_used: bool = False


def train(
    task: Task[M], recipe: Recipe, out: Path, processes: Processes, clock: Callable[[], float] = time.monotonic
) -> Path:
    """Run `recipe`; returns `out`/model.safetensors, the averaged network as it was when it validated best.

    Continues from `out`/latest.pt where there is one: a run that was killed is taken up at its last checkpoint, with
    the same batches that it would have had. `out`/log.csv grows by a row every 10 steps; loss.png and masks.png are
    drawn at every validation; last.safetensors is the averaged network at the end, whose validation may be worse.

    With `recipe.seconds` the run ends with the first step that ends after so many seconds, those before it was taken up
    included. Waiting for batches, compiling, checkpoints and validations count; the last validation follows, and what
    is read before (cases, weights to start from) does not count. `clock` says seconds.

    Raises:
        UsageError: the loss is no longer finite, the checkpoint does not fit, or nothing can be compiled.
        SetupError: another process has ended, or sees other files; or `out` cannot be written.

    """
    try:
        return Run(task, recipe, out, processes, clock).through()
    except OSError as error:
        raise SetupError(f"{error.filename or out} cannot be used ({error.strerror or error}): see to --out") from error


class Run(Generic[M]):
    """A run on its way. Of several processes all do the same steps; the first validates and writes for all."""

    def __init__(
        self, task: Task[M], recipe: Recipe, out: Path, processes: Processes, clock: Callable[[], float]
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        cv2.setNumThreads(1)  # the processor is torch's
        self.task, self.recipe, self.out, self.processes, self.clock = task, recipe, out, processes, clock
        self.model = task.model.train()
        self.average = moving_average(self.model, recipe.ema_decay)
        self.averaged = cast(M, self.average.module)
        self.optimizer = optimizer_of(self.model, recipe)
        latest = out / "latest.pt"
        self.first, self.now, self.best = load_checkpoint(latest, recipe, self.model, self.average, self.optimizer)
        if processes.agreed(self.first) != self.first:
            raise SetupError(f"process {processes.rank} sees another {latest} than the first: all need the same files")
        set_up(self.model, processes.device, compiled=recipe.compiled)
        self.objective = processes.averaging(Objective(self.model, task.loss), all_used=task.all_used)
        self.schedule, self.sums = Schedule(recipe), Sums(processes)
        self.log = RunLog(out / "log.csv", self.first, self.now, recipe, processes)
        self.begin = clock() - self.now
        self.step = self.judged = self.first  # steps done, and those done when it was last validated
        self.saved = self.now  # when the last checkpoint was written
        self.validating = 0.0  # seconds that validations took

    def elapsed(self) -> float:
        """Return the seconds since the run began, by the first process's clock, so that all end at the same step."""
        return self.processes.agreed(self.clock() - self.begin)

    def through(self) -> Path:
        with self.log, Ahead(self.task.load) as ahead:
            if not self.schedule.over(self.step, self.now):
                ahead.ask(self.step, self.schedule.phase(self.step, self.now))
                ahead.wait()  # the cases are read for the first batch, which is not the run's time
            self.begin = self.clock() - self.now
            while not self.schedule.over(self.step, self.now):
                self.take_step(ahead)
            if self.step > self.first:
                self.end()
        return self.out / "model.safetensors"

    def take_step(self, ahead: Ahead) -> None:
        """Train on the batch that was asked for, and do what is due after it."""
        started = self.clock()
        batch, phase = ahead.take()
        waited = self.clock() - started
        if not self.schedule.over(self.step + 1, self.now):
            ahead.ask(self.step + 1, self.schedule.phase(self.step + 1, self.now))
        rate = self.schedule.rate(self.step, self.now)
        with lost_processes():
            self.sums.add(update(self.objective, batch, self.optimizer, rate, self.recipe.gradient_clip))
        self.average.update_parameters(self.model)
        self.step += 1

        before, self.now = self.now, self.elapsed()
        last = self.schedule.over(self.step, self.now)
        judges = not last and self.schedule.validates(self.step, before, self.now, self.validating)
        saves = not last and self.schedule.saves(self.step, self.now - self.saved)
        logs = last or self.step % self.log.EVERY == 0
        if logs or judges or saves:
            loss, metric = self.sums.means(self.step, rate)  # of a run whose loss is not finite nothing is kept
        self.log.count(phase.batch, waited, self.clock() - started)
        if logs:
            self.log.add(self.step, phase.size, self.now, loss, metric)
            self.sums.clear()
        if judges:
            self.judge()
        if judges or saves:  # else a killed run would forget how good its kept weights are
            self.save()

    def judge(self) -> None:
        """Validate the average, and keep it if it is the best so far; the other processes wait."""
        if self.processes.first:
            score = self.task.validate(self.averaged)
            self.log.validated(self.step, self.now, score)
            draw_log(self.log.path, self.out / "loss.png")
            if self.task.picture is not None:
                picture = self.task.picture(self.averaged)
                write_atomic(self.out / "masks.png", cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
            if score > self.best:
                self.best = score
                save_weights(self.out / "model.safetensors", self.averaged, self.task.settings)
        self.judged = self.step
        before, self.now = self.now, self.elapsed()
        self.validating += self.now - before

    def save(self) -> None:
        if self.processes.first:
            progress = Progress(self.step, self.now, self.best)
            save_checkpoint(self.out / "latest.pt", progress, self.recipe, self.model, self.average, self.optimizer)
        self.saved = self.now

    def end(self) -> None:
        """Validate and save a last time; no process goes on before the files are there."""
        if self.judged != self.step:
            self.judge()
        if self.processes.first:
            save_weights(self.out / "last.safetensors", self.averaged, self.task.settings)
        self.save()
        self.elapsed()


def save_weights(path: Path, model: nn.Module, settings: dict[str, str]) -> None:
    write_atomic(path, save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, settings))
