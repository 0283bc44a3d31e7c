"""`repmedsam predict` as a process of its own, for faults to be done to: its network is loaded at once, and is slow.

    python -m tests.fault_process entry                  the challenge's entry, in the current folder
    python -m tests.fault_process predict -i ... -o ...  the command line

$SLOW: seconds that an image takes; $LOADING: seconds that loading takes.
"""

import contextlib
import os
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.commands.predict import challenge
from repmedsam_infer.engines import load
from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.confidence import ConfidenceModel
from repmedsam_infer.engines.engine import Decoded, Engine
from repmedsam_infer.engines.precision import Precision
from repmedsam_infer.system.process import end_process

F32 = NDArray[np.float32]


class SlowEngine:
    """Marks all of each region."""

    name, version, grid, focus = "slow", "0", 64, False
    precision: Precision = "fp32"
    calibration = Calibration()
    confidence: ConfidenceModel | None = None

    def __init__(self) -> None:
        self.workers: Sequence[Engine] = [self]

    def encode(self, _: F32) -> F32:
        time.sleep(float(os.environ.get("SLOW", "0")))
        return np.zeros((256, 1, 1), np.float32)

    def decode(self, _: F32, boxes: F32, rois: F32) -> Decoded:
        assert len(rois) == len(boxes)
        return Decoded(np.ones((len(boxes), 256, 256), np.float32), np.ones(len(boxes), np.float32))


def load_slow_engines(*_: object, jobs: int = 1, **__: object) -> Sequence[Engine]:
    with contextlib.suppress(OSError):
        os.write(1, b"loading\n")
    time.sleep(float(os.environ.get("LOADING", "0")))
    return [SlowEngine() for _ in range(jobs)]


if __name__ == "__main__":
    load.load_engines = load_slow_engines
    if sys.argv[1] == "entry":
        end_process(challenge)
    from repmedsam_infer.cli import main

    main()
