"""Cases to run, a Slurm that runs, Snakemake."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import slurm as one_machine
from tests.clusters.cases import OPTIONS, PATIENCE, ROOT, draw_cases, install
from tests.clusters.runs import Runs


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Cases, and what one process makes of them. $REPMEDSAM_SLURM_CASES: how many; 24 for tests of every commit."""
    folder = tmp_path_factory.mktemp("runs")
    count = int(os.environ.get("REPMEDSAM_SLURM_CASES", "24"))
    draw_cases(folder / "cases", count)
    install(folder / "bin")
    environment = one_machine.environment_without_slurm()
    environment["PATH"] = f"{folder / 'bin'}:{environment['PATH']}"
    environment["XDG_CACHE_HOME"] = str(folder / "cache")  # Snakemake's
    runs = Runs(folder / "cases", folder / "expected", environment, PATIENCE + 4.0 * count)
    runs("repmedsam", "predict", "-i", runs.cases, "-o", runs.expected, "--threads", 1, *OPTIONS)
    return runs


@pytest.fixture(scope="session")
def slurm_folder() -> Iterator[Path]:
    """A Slurm that runs; skipped where it cannot."""
    missing = one_machine.missing_programs()
    if missing or os.geteuid() != 0:
        pytest.skip(f"not installed: {', '.join(missing)} (slurm-wlm, munge)" if missing else "root starts Slurm here")
    with tempfile.TemporaryDirectory(prefix="slurm") as parent:  # a short name: sockets are in it
        folder = Path(parent) / "cluster"
        started = one_machine.up(folder)
        try:
            yield folder
        finally:
            one_machine.down(folder)
            for one in started:
                one.wait()


@pytest.fixture(scope="session")
def slurm(plain: Runs, slurm_folder: Path) -> Runs:
    """`plain`, in the environment of a Slurm that runs."""
    environment = one_machine.client_environment(slurm_folder, plain.environment)
    return Runs(plain.cases, plain.expected, environment, plain.longest)


@pytest.fixture(scope="session")
def snakemake() -> Path:
    """Snakemake's program, whose environment is its own; $REPMEDSAM_SNAKEMAKE names another one."""
    program = Path(os.environ.get("REPMEDSAM_SNAKEMAKE") or ROOT / ".venv" / "workflow" / "bin" / "snakemake")
    if not program.exists():
        pytest.skip(f"there is no {program}: make test-slurm installs it")
    return program
