"""A folder of npz cases to a folder of segmentations: what `repmedsam predict` does, and the challenge's container.

`python -m repmedsam_infer.commands.predict` is that container's entry, without options: it starts sooner than the
command line. Next to nothing is imported before signals are handled.
"""

import time
from typing import TYPE_CHECKING, Any

from repmedsam_infer.system.process import check_address_space, end_process

if TYPE_CHECKING:
    from pathlib import Path

    from repmedsam_infer.batch.run import Job


def predict(
    job: "Job",
    engine: str = "openvino",
    precision: str = "auto",
    threads: int = 0,
    jobs: int = 1,
    weights: "Path | None" = None,
) -> int:
    """Do it, telling of every case; returns the exit code. Options as of `repmedsam predict`.

    Raises:
        UsageError, SetupError: the run cannot start.
        Stopped: a signal came.

    """
    from repmedsam_infer.batch.run import cases_to_run

    paths = cases_to_run(job)

    import cv2

    from repmedsam_infer.batch.provenance import provenance
    from repmedsam_infer.batch.report import now
    from repmedsam_infer.batch.run import doing
    from repmedsam_infer.batch.runner import do_run, show_failed
    from repmedsam_infer.case import is_volume_name
    from repmedsam_infer.engines.load import load_engines
    from repmedsam_infer.engines.pool import EnginePool
    from repmedsam_infer.engines.weights import find_weights
    from repmedsam_infer.system.threads import available_threads

    started, start = now(), time.perf_counter()
    threads = threads or available_threads()
    jobs = min(jobs, threads, len(paths))
    cv2.setNumThreads(max(1, threads // jobs))
    found = find_weights(weights)
    pool = EnginePool(lambda volumes: load_engines(engine, found, threads, precision, volumes=volumes, jobs=jobs))
    for volumes in sorted({is_volume_name(path.name) for path in paths}):
        pool.engines(volumes=volumes)
    load_seconds = round(time.perf_counter() - start, 4)

    def setting() -> dict[str, Any]:
        return {**provenance(pool, found, threads, started), "jobs": jobs, "load_seconds": load_seconds}

    tasks = [job.task(path) for path in paths]
    code, reports = do_run(tasks, doing(job, pool), job.outputs, setting, at_once=jobs, resume=job.resume)
    show_failed(reports)
    return code


def challenge() -> int:
    """Every case of inputs/ to outputs/."""
    check_address_space()
    from pathlib import Path

    from repmedsam_infer.batch.run import Job

    return predict(Job(Path("inputs"), Path("outputs"), overwrite=True))


if __name__ == "__main__":
    end_process(challenge)
