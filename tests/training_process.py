"""One of the processes that test_processes starts with torchrun: the tiny task, on batches of its own.

python -m torch.distributed.run --nproc-per-node 2 -m tests.training_process OUT [SECONDS] [fail]
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from repmedsam_infer.errors import RepMedSAMError, UsageError
from repmedsam_train.data.dataset import Batch
from repmedsam_train.loop import train
from repmedsam_train.recipe import Phase
from repmedsam_train.run.processes import join, leave
from tests.training_tasks import TINY, Brightness, Watched, random_batch


def main(out: Path, seconds: float | None, fails: bool) -> None:
    processes = join("cpu")
    watched = Watched()
    task = watched.task(seed=processes.rank)  # the first process's weights become those of all

    def load(step: int, phase: Phase) -> Batch:
        return random_batch(step * processes.count + processes.rank, phase)

    def loss(network: Brightness, batch: Batch) -> tuple[Tensor, Tensor]:
        if fails and processes.rank == 1 and watched.losses == 7:
            raise UsageError("the second process cannot go on")
        if seconds is not None:
            time.sleep(0.01 * (1 + processes.rank))  # not all are as fast
        return watched.loss(network, batch)

    task = replace(task, load=load, loss=loss)
    train(task, replace(TINY, seconds=seconds), out, processes)
    assert watched.validated == [] or processes.first
    save_file(task.model.state_dict(), out / f"process{processes.rank}.{watched.losses}.safetensors")
    leave()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2] else None, "fail" in sys.argv)
    except RepMedSAMError as error:
        sys.exit(f"error: {error}")
