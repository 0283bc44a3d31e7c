"""The processes of a run: one, or as many as torchrun started, each with a device of its own.

torchrun --nproc-per-node 2 -m repmedsam_train finetune ...

Every process draws batches of its own, and gradients are averaged; the first alone writes, validates and prints. All
have to see the same files.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from repmedsam_infer.errors import SetupError, UsageError

DEVICES = ("auto", "cpu", "cuda")
PATIENCE = timedelta(hours=6)  # with which processes wait for the first to validate; torchrun ends them if it fails


@dataclass(frozen=True)
class Processes:
    """Where a process is: `rank` (from 0) of `count`, and what it computes on."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agreed(self, value: float) -> float:
        """Return the first process's value, in all; each waits for the first."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)  # in main memory: no GPU is waited for
        with lost_processes():
            distributed.broadcast(shared, 0)
        return shared.item()

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes, in all."""
        if self.count == 1:
            return values
        total = values.clone()
        with lost_processes():
            distributed.all_reduce(total)
        return total / self.count

    def averaging(self, module: nn.Module) -> nn.Module:
        """Return a module that does what `module` does, with gradients that are averaged over all processes.

        The first process's weights and normalisation statistics become those of all.
        """
        if self.count == 1:
            return module
        # Heads have weights that a box does not use (those of points and of further masks).
        return DistributedDataParallel(module, find_unused_parameters=True)


@contextmanager
def lost_processes() -> Iterator[None]:
    """Say in one line that another process is gone: its own message says why.

    Raises:
        SetupError: in place of what a broken connection raises.

    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or any(name in str(error) for name in ("gloo", "NCCL")):
            raise SetupError("another process of this run has ended; its own message says why") from error
        raise


def join(device: str) -> Processes:
    """Take this process's place among those that torchrun started, or be alone; a second call changes nothing.

    Args:
        device: auto (a GPU where there is one), cpu or cuda; each process of a machine takes a GPU of its own.

    Raises:
        UsageError: there is no such device, or fewer GPUs than processes.
        SetupError: the others cannot be reached.

    """
    rank, count, local = (variable("RANK", 0), variable("WORLD_SIZE", 1), variable("LOCAL_RANK", 0))
    place = device_of(device, local)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if count > 1 and not distributed.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
        try:
            distributed.init_process_group(backend, timeout=PATIENCE)
        except (ValueError, RuntimeError) as error:
            raise SetupError(
                f"process {rank} of {count} cannot reach the others ({error}): start with torchrun"
            ) from error
    return Processes(rank, count, place)


def leave() -> bool:
    """End the connection to the other processes, after all was done; returns whether this is the first of them."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
    return variable("RANK", 0) == 0


def variable(name: str, default: int) -> int:
    """Return what torchrun says in the environment, or `default`."""
    text = os.environ.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise UsageError(
            f"the environment variable {name} is {text!r}, not a whole number: start with torchrun, or unset it"
        )
    return int(text)


def device_of(name: str, local: int = 0) -> torch.device:
    """Return the device that `name` means for process `local` (from 0) of this machine.

    Raises:
        UsageError: there is no such device.

    """
    if name not in DEVICES:
        raise UsageError(f"there is no device '{name}'; choose one of: {', '.join(DEVICES)}")
    there = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if not there:
        why = "no NVIDIA GPU or driver is found" if torch.version.cuda else "this PyTorch is built without CUDA"
        raise UsageError(f"--device cuda: {why}; see https://pytorch.org/get-started, or choose --device cpu")
    if local >= torch.cuda.device_count():
        raise UsageError(
            f"process {local} of this machine finds {torch.cuda.device_count()} GPUs: start at most that many processes"
        )
    return torch.device("cuda", local)
