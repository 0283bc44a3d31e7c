"""A folder of npz cases to a folder of segmentations: what `repmedsam predict` does, and the challenge's container.

`python -m repmedsam_infer.commands.predict` is that container's entry, without options: it starts sooner than the
command line.
"""

import sys
import time
from pathlib import Path

from repmedsam_infer.batch.progress import complain, follow
from repmedsam_infer.batch.run import Job, cases_to_run
from repmedsam_infer.errors import EXIT_CASE_FAILED, EXIT_OK, RepMedSAMError


def predict(
    job: Job,
    engine: str = "openvino",
    precision: str = "auto",
    threads: int = 0,
    jobs: int = 1,
    weights: Path | None = None,
) -> int:
    """Do it, telling of every case; returns the exit code. Options as of `repmedsam predict`.

    Raises:
        UsageError, SetupError: the run cannot start.

    """
    paths = cases_to_run(job)

    import cv2

    from repmedsam_infer.batch.provenance import provenance
    from repmedsam_infer.batch.report import CaseReport, now, write_reports
    from repmedsam_infer.batch.run import run
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
    reports: list[CaseReport] = []
    try:
        reports.extend(follow(run(job, paths, pool, jobs), len(paths)))
    finally:  # what was done is put down even where the run was interrupted
        try:
            used = provenance(pool, found, threads, started)
            write_reports(job.outputs, reports, {**used, "jobs": jobs, "load_seconds": load_seconds})
        except OSError as error:
            complain(f"error: the reports could not be written to {job.outputs} ({error.strerror})")
            return EXIT_CASE_FAILED
    failed = sum(report.status == "failed" for report in reports)
    if failed:
        complain(f"{failed} of {len(reports)} cases failed")
    return EXIT_CASE_FAILED if failed else EXIT_OK


if __name__ == "__main__":
    try:
        sys.exit(predict(Job(Path("inputs"), Path("outputs"), overwrite=True)))
    except RepMedSAMError as problem:
        complain(f"error: {problem}")
        sys.exit(problem.exit_code)
