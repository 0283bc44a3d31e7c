"""A whole process for a folder of cases, from its start to its exit, as a person waits for it."""

import json
import subprocess
import sys
import time
from pathlib import Path

from repmedsam_infer.batch.run_files import REPORT
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import SetupError

# As predict.sh starts it: the command line itself would take another tenth of a second.
ONE_RUN = """
import sys
from pathlib import Path
from repmedsam_infer.batch.job import Job
from repmedsam_infer.commands.predict import predict
from repmedsam_infer.system.process import end_process
_, inputs, outputs, engine, precision, threads, weights = sys.argv
job = Job(Path(inputs), Path(outputs), overwrite=True)
end_process(lambda: predict(job, engine, precision, int(threads), weights=Path(weights)))
"""


def time_process(
    inputs: Path, outputs: Path, engine: str, precision: str, threads: int, weights: Weights
) -> tuple[float, float | None]:
    """Return seconds and the largest resident set in MiB (None where the system does not state it).

    Raises:
        SetupError: it failed.

    """
    command = [sys.executable, "-c", ONE_RUN, str(inputs), str(outputs), engine, precision, str(threads)]
    start = time.perf_counter()
    done = subprocess.run([*command, str(weights.folder)], capture_output=True, text=True, check=False)  # noqa: S603 (our own program)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SetupError(f"{inputs.name} failed in a process of its own: {done.stderr.strip()}")
    return seconds, json.loads((outputs / REPORT).read_text())["peak_memory_mib"]
