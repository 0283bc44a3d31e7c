"""Array jobs on a real Slurm of two nodes, brought up here: every case once, whatever is stopped, killed or fails.

`REPMEDSAM_SLURM_CASES=200 make test-slurm` takes more cases than every commit has time for.
"""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.clusters import slurm as one_machine
from tests.clusters.cases import check_whole, pause, results, running, when_written
from tests.clusters.runs import SHARDS, Runs

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def test_an_array_job_does_every_case_once(slurm: Runs, tmp_path: Path) -> None:
    segs = tmp_path / "segs"
    slurm.merge(segs, slurm.submit(segs, f"1-{SHARDS}"))
    check_whole(segs, slurm.expected)


def test_tasks_that_were_cancelled_or_killed_go_on_where_they_were(slurm: Runs, tmp_path: Path) -> None:
    """Two tasks are stopped in the midst, and submitted again; their numbers have gaps."""
    segs = tmp_path / "segs"
    job = slurm.submit(segs, "1,3")
    pause(segs, "1/4")
    os.kill(pause(segs, "3/4"), signal.SIGKILL)
    slurm("scancel", f"{job}_1")  # SIGTERM, after SIGCONT
    slurm.wait(job)
    assert '"stopped_by": "SIGTERM"' in (segs / "report.1-of-4.json").read_text()
    assert (segs / "report.3-of-4.jsonl").exists()
    slurm.wait(slurm.submit(segs, "2,4"))

    done = when_written(segs)
    missing = results(slurm.expected).keys() - done.keys()
    said = slurm("repmedsam", "report", "--merge", "-s", segs, "-i", slurm.cases, code=1)
    assert "shard 1/4" in said
    assert "shard 3/4" in said
    assert min(missing) in said

    slurm.merge(segs, slurm.submit(segs, "1,3"))
    check_whole(segs, slurm.expected)
    now = when_written(segs)
    assert len({name for name in done if now[name] != done[name]}) <= 2, "more than the cases at hand were done twice"


def test_a_task_of_a_node_that_fails_is_started_anew(slurm: Runs, tmp_path: Path) -> None:
    segs = tmp_path / "segs"
    job = slurm.submit(segs, f"1-{SHARDS}")
    halted = pause(segs, "1/4")
    node = slurm("squeue", "--noheader", f"--jobs={job}_1", "--format=%N").strip()
    slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    one_machine.wait_for(lambda: halted not in running(segs), "end of the task")
    slurm("scontrol", "update", f"nodename={node}", "state=resume")
    slurm.merge(segs, job)
    assert "Restarts=1" in slurm("scontrol", "show", "job", f"{job}_1")
    check_whole(segs, slurm.expected)


@pytest.mark.usefixtures("slurm_folder")  # skipped where there is no Slurm; its own one is another
def test_nothing_of_a_slurm_is_left() -> None:
    """Down ends jobs, also those of a node whose daemon is gone, and removes all."""
    with tempfile.TemporaryDirectory(prefix="slurm") as parent:
        folder = Path(parent) / "cluster"
        started = one_machine.up(folder)
        asked = one_machine.client_environment(folder)
        subprocess.run(["sbatch", "--output=/dev/null", "--wrap=sleep 600"], env=asked, check=True, capture_output=True)
        daemons = len(list(one_machine.processes(folder)))
        one_machine.wait_for(lambda: len(list(one_machine.processes(folder))) > daemons, "the job")
        for node in started[-len(one_machine.NODES) :]:
            node.kill()
        one_machine.down(folder)
        for one in started:
            one.wait(timeout=10)
        assert not list(one_machine.processes(folder))
        assert not folder.exists()
