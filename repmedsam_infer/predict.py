"""A folder of npz cases to a folder of segmentations: what `repmedsam predict` does, and the challenge's container.

`python -m repmedsam_infer.predict` is that container's entry, with no options: it starts sooner than the command line.
"""

import sys
import time
from pathlib import Path

from repmedsam_infer.errors import EXIT_CASE_FAILED, EXIT_OK, RepMedSAMError
from repmedsam_infer.progress import complain, follow
from repmedsam_infer.run import Job, find_cases


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
    paths = find_cases(job)

    import cv2

    from repmedsam_infer.case import is_volume_name
    from repmedsam_infer.engines import load_engines
    from repmedsam_infer.report import CaseReport, now, write_reports
    from repmedsam_infer.run import run
    from repmedsam_infer.setting import setting_of
    from repmedsam_infer.threads import available_threads
    from repmedsam_infer.weights import find_weights

    started, start = now(), time.perf_counter()
    threads = threads or available_threads()
    jobs = min(jobs, threads, len(paths))
    cv2.setNumThreads(max(1, threads // jobs))
    found = find_weights(weights)
    engines = {
        volumes: load_engines(engine, found, threads, precision, volumes, jobs)  # type: ignore[arg-type]  # checked there
        for volumes in sorted({is_volume_name(path.name) for path in paths})
    }
    load_seconds = round(time.perf_counter() - start, 4)
    reports: list[CaseReport] = []
    try:
        reports.extend(follow(run(job, paths, engines), len(paths)))
    finally:  # what was done is put down even where the run was interrupted
        try:
            used = setting_of({volumes: of_kind[0] for volumes, of_kind in engines.items()}, found, threads, started)
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
