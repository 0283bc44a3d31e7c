"""Folders in, the page of a run out."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from repmedsam_infer.batch.report import Run, read_run
from repmedsam_infer.errors import SetupError
from repmedsam_infer.formats.endings import PICTURE, ending_of
from repmedsam_infer.io.case_files import is_volume_name
from repmedsam_infer.report_page.opened import Folders, Opened
from repmedsam_infer.report_page.page import write_page
from repmedsam_infer.report_page.pictures import ALL_BYTES, VOLUME_SHARE, Pictures, draw_pictures
from repmedsam_infer.report_page.results import Result, ScoreObjects, collect, find_names

INSTALL = "scores need the package {package}: pip install 'repmedsam[evaluate]'"


def make_report(folders: Folders, output: Path) -> list[str]:
    """Write the page; returns what could not be read now, which the page shows, too.

    Raises:
        UsageError: a folder is missing or holds no results.
        SetupError: ground truth was asked for and cannot be scored here, or the page cannot be written.

    """
    folders.check()
    run = read_run(folders.segs)
    names = find_names(run, folders.segs)
    score, missing = find_scoring()
    if folders.gts is not None and missing:
        raise SetupError(missing)
    share = ALL_BYTES / sum(share_of(name, run) for name in names)

    def draw(opened: Opened) -> Pictures:
        return draw_pictures(opened, share * share_of(opened.case.name, run))

    failed = {name for name, case in run.cases.items() if case.status == "failed"}
    results = list(follow(collect(names, run, folders, score, draw), len(names)))
    notes = []
    if missing and any(result.has_truth for result in results):
        notes.append(f"There is ground truth, which was not scored: {missing}")
    write_page(output, Path(os.path.realpath(folders.segs)).name, run, results, notes)
    return [r.report.error for r in results if r.report.error and r.report.case not in failed]


def share_of(name: str, run: Run) -> int:
    """How much of the page's bytes a case gets: one that seems to be a volume more."""
    case = run.cases.get(name)
    path = Path((case and case.input) or name)
    is_volume = is_volume_name(name) if path.suffix == ".npz" else ending_of(path) not in PICTURE
    return VOLUME_SHARE if is_volume else 1


def follow(results: Iterable[Result], total: int) -> Iterable[Result]:
    """Pass the results on; a bar where somebody watches."""
    if not sys.stderr.isatty():
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, "reading", total, console=Console(stderr=True))


def find_scoring() -> tuple[ScoreObjects | None, str]:
    """Return what scores objects; or None, and what to install."""
    try:
        from repmedsam_infer.evaluation.object_scores import score_objects
    except ImportError as error:
        return None, INSTALL.format(package=error.name)
    return score_objects, ""
