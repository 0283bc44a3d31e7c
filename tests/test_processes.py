"""Several processes under torchrun train one network, which one of them could have trained on all their batches."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file

from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_train.data.dataset import Batch
from repmedsam_train.loop import train
from repmedsam_train.recipe import Phase
from repmedsam_train.run.processes import device_of, join, leave
from repmedsam_train.weights.networks import load_trained
from tests.training_tasks import ALONE, TINY, Watched, images_of, random_batch

ROOT = Path(__file__).parent.parent


def torchrun(*arguments: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    command += map(str, arguments)
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=240)


def alone_on_all(out: Path, count: int = 2) -> dict[str, torch.Tensor]:
    """Weights after the tiny task in one process, on batches that hold those of all processes."""
    task = Watched().task()

    def load(step: int, phase: Phase) -> Batch:
        parts = [random_batch(step * count + rank, phase) for rank in range(count)]
        return replace(parts[0], images=np.concatenate([images_of(part).numpy() for part in parts]))

    train(replace(task, load=load), TINY, out, ALONE)
    return task.model.state_dict()


@pytest.mark.slow
def test_two_processes_do_what_one_does_on_both_batches(tmp_path: Path) -> None:
    out = tmp_path / "two"
    done = torchrun("tests.training_process", out)
    assert done.returncode == 0, done.stderr
    first, second = (load_file(out / f"process{rank}.{TINY.steps}.safetensors") for rank in range(2))
    for name, expected in alone_on_all(tmp_path / "one").items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], expected, atol=1e-6, rtol=1e-5)
    average, alone = (load_file(tmp_path / folder / "last.safetensors") for folder in ("two", "one"))
    for name, expected in alone.items():
        torch.testing.assert_close(average[name], expected, atol=1e-6, rtol=1e-5)
    # One of them wrote and said what there is to say, of both.
    assert sorted(path.name for path in out.glob("[!p]*")) == [
        "last.safetensors",
        "latest.pt",
        "log.csv",
        "loss.png",
        "model.safetensors",
    ]
    logs = [(tmp_path / folder / "log.csv").read_text().splitlines() for folder in ("two", "one")]
    assert [row.split(",")[:3] for row in logs[0]] == [row.split(",")[:3] for row in logs[1]]  # step, size, loss
    assert done.stdout.count("validation") == 2


@pytest.mark.slow
def test_processes_take_up_a_run_together(tmp_path: Path) -> None:
    """What one process began, two go on with; and what is done stays."""
    watched = Watched(poison=12)
    with pytest.raises(UsageError):
        train(watched.task(), TINY, tmp_path, ALONE)
    assert torch.load(tmp_path / "latest.pt", weights_only=True)["step"] == 10
    for losses in (TINY.steps - 10, 0):
        done = torchrun("tests.training_process", tmp_path)
        assert done.returncode == 0, done.stderr
        first, second = (load_file(tmp_path / f"process{rank}.{losses}.safetensors") for rank in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_processes_end_at_the_same_step_by_the_clock(tmp_path: Path) -> None:
    """Though one of them is slower than the other: the file's name tells how many steps each has done."""
    done = torchrun("tests.training_process", tmp_path, 1.5)
    assert done.returncode == 0, done.stderr
    first, second = sorted(tmp_path.glob("process*"))
    assert first.name.removeprefix("process0") == second.name.removeprefix("process1")
    assert all(torch.equal(tensor, load_file(second)[name]) for name, tensor in load_file(first).items())


@pytest.mark.slow
def test_a_process_that_fails_ends_all(tmp_path: Path) -> None:
    done = torchrun("tests.training_process", tmp_path, "", "fail")
    assert done.returncode != 0
    assert "error: the second process cannot go on" in done.stderr
    assert "RuntimeError" not in done.stderr  # of the process that was left alone
    assert not list(tmp_path.glob("process*"))
    assert torch.load(tmp_path / "latest.pt", weights_only=True)["step"] == 5


@pytest.mark.slow
def test_finetune_in_two_processes(samples: Path, tmp_path: Path) -> None:
    """The command itself, and the real network, whose heads have weights that boxes do not use."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("validation_samples = 2\nphases = [{ size = 64, steps = 3, batch = 2 }]\n")
    options = ("--train", samples, "--val", samples, "--out", tmp_path / "run", "--device", "cpu", "--config", recipe)
    done = torchrun("repmedsam_train", "finetune", *options)
    assert done.returncode == 0, done.stderr
    weights = tmp_path / "run" / "model.safetensors"
    assert done.stdout.count(str(weights)) == 1
    assert all(tensor.isfinite().all() for tensor in load_trained(weights).state_dict().values())


def test_there_is_a_cpu_and_no_other_device_than_those_named() -> None:
    assert device_of("cpu", 3) == torch.device("cpu")
    with pytest.raises(UsageError, match="there is no device 'tpu'; choose one of: auto, cpu, cuda"):
        device_of("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    assert device_of("auto") == torch.device("cpu")
    with pytest.raises(UsageError, match=r"--device cuda: .*--device cpu"):
        device_of("cuda")


def test_a_process_by_itself_is_the_first_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    processes = join("cpu")
    assert (processes.rank, processes.count, processes.first) == (0, 1, True)
    assert processes.agreed(0.1) == 0.1
    assert leave()


@pytest.mark.parametrize("value", ["two", "-1", "1.5", ""])
def test_variables_that_make_no_sense_are_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(UsageError, match="WORLD_SIZE"):
        join("cpu")


def test_processes_that_nothing_connects_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupError, match="start with torchrun"):
        join("cpu")
