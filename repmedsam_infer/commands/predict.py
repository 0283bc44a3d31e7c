"""Npz cases to a folder of segmentations: what `repmedsam predict` does, and the challenge's container.

`python -m repmedsam_infer.commands.predict` is that container's entry, without options: it starts sooner than the
command line. Next to nothing is imported before signals are handled.
"""

from typing import TYPE_CHECKING, Any

from repmedsam_infer.errors import RepMedSAMError
from repmedsam_infer.system.process import check_address_space, end_process

LONGEST_WAIT = 0.05  # seconds, for the encoder to begin to be loaded; without it that would take turns with imports

if TYPE_CHECKING:
    from pathlib import Path

    from repmedsam_infer.batch.job import Job


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
    from threading import Event

    from repmedsam_infer.engines.weights import STORE, find_weights

    found = find_weights(weights)
    if engine == "openvino":
        found.read_ahead(STORE)

    from repmedsam_infer.engines.load import import_engine, load_engines
    from repmedsam_infer.engines.pool import EnginePool
    from repmedsam_infer.io.case_files import is_volume_name
    from repmedsam_infer.system.threads import available_threads

    cases = job.find()
    threads = threads or available_threads()
    jobs = max(1, min(jobs, threads, len(cases)))
    begun = Event()
    pool = EnginePool(
        lambda volumes: load_engines(engine, found, threads, precision, volumes=volumes, jobs=jobs, begun=begun.set)
    )
    kinds = list(dict.fromkeys(is_volume_name(case.path.name) for case in cases))
    import_engine(engine)
    pool.begin(kinds)
    begun.wait(LONGEST_WAIT)

    # Networks are loaded by other threads: meanwhile all else is imported and checked, and the first case is read.
    import cv2

    from repmedsam_infer.batch.first_case import FirstCase
    from repmedsam_infer.batch.provenance import provenance
    from repmedsam_infer.batch.report import now
    from repmedsam_infer.batch.run import check_can_start, doing
    from repmedsam_infer.batch.runner import do_run, show_failed

    started = now()
    cv2.setNumThreads(max(1, threads // jobs))
    first = FirstCase(cases[0].path) if cases and jobs == 1 and not job.resume else None
    try:
        do = doing(job, pool, first)
        check_can_start(job, cases)
    except RepMedSAMError:
        pool.give_up()
        raise
    for volumes in kinds:
        pool.engines(volumes=volumes)

    def setting() -> dict[str, Any]:
        about = provenance(pool, found, threads, started)
        of_shard = {} if job.shard is None else {"shard": str(job.shard)}
        return {**about, **of_shard, "jobs": jobs, "load_seconds": round(pool.load_seconds, 4)}

    tasks = [job.task(case) for case in cases]
    code, reports = do_run(tasks, do, job.files, setting, at_once=jobs, resume=job.resume)
    show_failed(reports)
    return code


def challenge() -> int:
    """Every case of inputs/ to outputs/."""
    check_address_space()
    from pathlib import Path

    from repmedsam_infer.batch.job import Job

    return predict(Job(Path("inputs"), Path("outputs"), overwrite=True))


if __name__ == "__main__":
    end_process(challenge)
