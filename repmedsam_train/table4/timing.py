"""How long an encoding and the decoding of one box take: medians, all networks in turn, in torch."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch

from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.system.cpu import this_processor
from repmedsam_train.table4.networks import Compared, frame_side
from repmedsam_train.weights.networks import on_device

ROUNDS = 5
TIMES = "times.json"
T = TypeVar("T")


@dataclass(frozen=True)
class Times:
    """Milliseconds."""

    encode: float
    decode: float


@torch.inference_mode()
def time_networks(networks: Mapping[str, Compared], device: torch.device, rounds: int = ROUNDS) -> dict[str, Times]:
    """Return the median times of each network: one image, in its own size, and one box on it; in fp32.

    A first round, in which buffers are made, is not counted.
    """
    taken: dict[str, list[Times]] = {name: [] for name in networks}
    prepared = {name: on_device(network, device).eval() for name, network in networks.items()}
    for turn in range(rounds + 1):
        for name, network in prepared.items():
            once = time_once(network, device)
            if turn:
                taken[name].append(once)
    return {
        name: Times(median(one.encode for one in all_of_it), median(one.decode for one in all_of_it))
        for name, all_of_it in taken.items()
    }


def time_once(network: Compared, device: torch.device) -> Times:
    side = frame_side(network)
    image = torch.rand(1, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    box = torch.tensor([[0.2, 0.3, 0.6, 0.8]], device=device) * side
    embedding, encode = timed(partial(network.encode, image), device)
    _, decode = timed(partial(network.decode, embedding, box), device)
    return Times(1e3 * encode, 1e3 * decode)


def timed(run: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """Return a result and the seconds that it took; a GPU is waited for."""
    wait(device)
    start = time.perf_counter()
    result = run()
    wait(device)
    return result, time.perf_counter() - start


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine_of(device: torch.device) -> str:
    """Return what the times were taken on, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{this_processor().name}, {torch.get_num_threads()} threads"


def write_times(path: Path, machine: str, times: Mapping[str, Times]) -> None:
    content = {"machine": machine, "milliseconds": {name: asdict(one) for name, one in times.items()}}
    write_atomic(path, (json.dumps(content, indent=2) + "\n").encode())


def kept_times(path: Path, machine: str, names: set[str]) -> dict[str, Times] | None:
    """Return the times that were taken on this machine of just these networks, if they were."""
    try:
        kept = json.loads(path.read_text())
        if kept["machine"] != machine or kept["milliseconds"].keys() != names:
            return None
        return {name: Times(**one) for name, one in kept["milliseconds"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # not there, or torn: they are taken again
