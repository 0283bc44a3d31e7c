"""A process that runs command lines one after another, with the networks loaded once: python -m tests.fuzz.worker.

On stdin a line of JSON a run ({"folder": ..., "arguments": [...], "writable": [...]}), on stdout a line of JSON an
answer. What the command itself prints, and libraries beneath it, goes to the files `stdout` and `stderr` beside the
folder.
"""

import faulthandler
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repmedsam_infer.engines import load
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.system import memory as system_memory
from tests.fuzz.promises import FREE
from tests.fuzz.watch import watch

ADDRESS_SPACE = 10 << 30  # bytes beyond what the networks take: so that this machine is not what suffers
LARGEST_FILE = 1 << 30
OWN = (Path(tempfile.gettempdir()), Path.home() / ".cache" / "repmedsam")  # what any command may write
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


def main() -> None:
    """Answer until stdin ends."""
    tasks, answers = os.fdopen(os.dup(0), "r", encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    keep_networks()
    system_memory.machine = lambda: FREE  # as if the machine had no more: what is let in has to fit into that
    import cv2  # what every command takes up is no memory of one input

    cv2.setNumThreads(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    limited = False
    for line in tasks:
        answer = perform(**json.loads(line))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if not limited:  # the first run loads networks
            most = memory("VmSize") + ADDRESS_SPACE
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            limited = True


def keep_networks() -> None:
    """Load the networks of each kind once; loading is not what is tried here."""
    loaded: dict[tuple[Any, ...], Sequence[Engine]] = {}
    really_load = load.load_engines

    def load_engines(
        name: str, weights: Weights, threads: int, precision: str, *, volumes: bool, jobs: int, **_: Any
    ) -> Sequence[Engine]:
        key = (name, weights.folder, threads, precision, volumes, jobs)
        if key not in loaded:
            loaded[key] = really_load(name, weights, threads, precision, volumes=volumes, jobs=jobs)
        return loaded[key]

    load.load_engines = load_engines


def perform(folder: str, arguments: list[str], writable: list[str]) -> dict[str, Any]:
    """Run one command line as the program would."""
    os.chdir(folder)
    beside = Path(folder).parent
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(beside / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    with (beside / "stack").open("w") as stack:
        faulthandler.register(signal.SIGUSR1, stack)
        CLEAR.write_text(RESET_PEAK)
        start, used, taken = time.perf_counter(), time.process_time(), memory("VmRSS")
        with watch([*OWN, *(Path(folder, path) for path in writable)]) as events:
            code = run(arguments)
        return {
            "code": code,
            "seconds": time.perf_counter() - start,
            "processor": time.process_time() - used,
            "memory": memory("VmHWM") - taken,
            "events": [*events[:20], *(f"left for good: {path!r}" for path in os.listdir(tempfile.gettempdir()))],
        }


def run(arguments: list[str]) -> int:
    """Return the exit code; what is not caught is shown as the interpreter does."""
    from repmedsam_infer.cli import main

    sys.argv = ["repmedsam", *arguments]
    try:
        with warnings.catch_warnings():  # each run shows them anew
            main()
        code: Any = 0
    except SystemExit as stopped:
        code = stopped.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code if isinstance(code, int) else 1


def memory(what: str) -> int:
    """Bytes of this process, as Linux names them."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) << 10


if __name__ == "__main__":
    main()
