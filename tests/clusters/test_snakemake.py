"""The workflow on this machine: a kill in its midst, a case that fails, and what each profile would do."""

import json
from pathlib import Path

import pytest

from tests.clusters.cases import draw_cases, results
from tests.clusters.runs import JOBS, WORKFLOW, Runs, begin_and_kill, go_on, workflow

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def test_it_goes_on_after_a_kill(plain: Runs, snakemake: Path, tmp_path: Path) -> None:
    command = workflow(snakemake, "local", tmp_path, f"inputs={plain.cases}")
    begin_and_kill(command, plain, tmp_path)
    go_on(command, plain, tmp_path)


def test_a_case_that_fails_is_named_at_the_end_and_hinders_nothing(
    plain: Runs, snakemake: Path, tmp_path: Path
) -> None:
    """The page and scores are made all the same, no shard is tried again, and Snakemake's exit code is not 0; once the
    case is mended, it alone is done.
    """
    draw_cases(tmp_path / "cases", 3)
    (tmp_path / "cases" / "2DBox_US_broken.npz").write_bytes(b"no npz")
    wanted = (f"inputs={tmp_path / 'cases'}", f"truth={tmp_path / 'cases'}", "page=true")
    said = plain(*workflow(snakemake, "local", tmp_path, *wanted), code=1)
    assert "2DBox_US_broken.npz" in said
    assert "Trying to restart" not in said
    segs = tmp_path / "segs"
    assert len(results(segs)) == 3
    assert json.loads((segs / "report.json").read_text())["counts"] == {"ok": 3, "failed": 1, "skipped": 0}
    assert (segs / "report.html").exists()
    assert len((segs / "scores.csv").read_text().splitlines()) == 1 + 4

    draw_cases(tmp_path / "more", 4)
    (tmp_path / "more" / "2DBox_US_0003.npz").replace(tmp_path / "cases" / "2DBox_US_broken.npz")
    plain(*workflow(snakemake, "local", tmp_path, *wanted), "--forcerun", "shard")
    assert len(results(segs)) == 4
    assert json.loads((segs / "report.json").read_text())["counts"] == {"ok": 1, "failed": 0, "skipped": 3}


@pytest.mark.parametrize("profile", sorted(path.name for path in (WORKFLOW / "profiles").iterdir()))
def test_each_profile_plans_every_shard_and_the_merge(
    profile: str, plain: Runs, snakemake: Path, tmp_path: Path
) -> None:
    store = ("--default-storage-prefix", str(tmp_path / "store")) if profile == "kubernetes" else ()
    plan = plain(*workflow(snakemake, profile, tmp_path, f"inputs={plain.cases}"), "--dry-run", *store)
    jobs = dict(line.split() for line in plan.splitlines() if line.startswith(("shard ", "merge ", "complete ")))
    assert jobs == {"shard": str(JOBS), "merge": "1", "complete": "1"}
