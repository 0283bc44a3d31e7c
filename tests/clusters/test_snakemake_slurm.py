"""The workflow on a real Slurm, brought up here."""

import os
from pathlib import Path

import pytest

from tests.clusters.runs import Runs, begin_and_kill, go_on, workflow

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
# Seconds between questions to the queue grow by 10 until a job is done: the first is to find both done.
QUICK = ("--slurm-init-seconds-before-status-checks", "8", "--slurm-status-command", "squeue", "--slurm-no-account")


def test_it_goes_on_after_a_kill(slurm: Runs, snakemake: Path, tmp_path: Path) -> None:
    command = [*workflow(snakemake, "slurm", tmp_path, f"inputs={slurm.cases}"), *QUICK, "--latency-wait", "10"]
    begin_and_kill(command, slurm, tmp_path)
    slurm("scancel", f"--user={os.geteuid()}")
    go_on(command, slurm, tmp_path)
