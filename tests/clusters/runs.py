"""Commands as a user gives them: of this program, of Slurm, of Snakemake."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.clusters.cases import OPTIONS, ROOT, check_whole, end_all, pause, results, when_written

WORKFLOW = ROOT / "workflow"
SHARDS = 4  # of array jobs
JOBS = 2  # shards of Snakemake's, each of which starts Snakemake once more


@dataclass(frozen=True)
class Runs:
    """Where cases and the results of one plain run are, the environment of commands, which has a Slurm or none, and the
    seconds that a command may take.
    """

    cases: Path
    expected: Path
    environment: dict[str, str]
    longest: float

    def __call__(self, *command: object, code: int = 0) -> str:
        """Run it in the folder above the cases; returns what it says. It must end with this exit code."""
        done = subprocess.run(
            [str(word) for word in command],
            env=self.environment,
            cwd=self.cases.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=self.longest,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + (done.stderr if code else "")

    def submit(self, segs: Path, tasks: str) -> str:
        """Submit tasks of the array job; returns its number."""
        array = (f"--array={tasks}", WORKFLOW / "array.sbatch", SHARDS)
        options = ("predict", "-i", self.cases, "-o", segs, *OPTIONS)
        return self("sbatch", "--parsable", "--mem=1G", *array, *options).strip()

    def merge(self, segs: Path, after: str) -> None:
        """Submit the merge, and wait until it has succeeded."""
        merge = (WORKFLOW / "merge.sbatch", "-s", segs, "-i", self.cases)
        job = self("sbatch", "--parsable", "--mem=1G", f"--dependency=afterany:{after}", *merge).strip()
        self.wait(job)
        assert "JobState=COMPLETED" in self("scontrol", "show", "job", job), self.said(job)

    def wait(self, job: str) -> None:
        """Wait until no task of the job waits or runs."""
        end = time.monotonic() + self.longest
        while self("squeue", "--noheader", f"--jobs={job}"):
            assert time.monotonic() < end, self("squeue")
            time.sleep(0.1)

    def said(self, job: str) -> str:
        return "\n".join(path.read_text() for path in self.cases.parent.glob(f"slurm-{job}*.out"))


def workflow(snakemake: Path, profile: str, folder: Path, *of_config: str) -> list[str]:
    """Snakemake's command for the workflow in `folder`, with results in its segs."""
    places = ("-s", WORKFLOW / "Snakefile", "--profile", WORKFLOW / "profiles" / profile, "--directory", folder)
    settings = (f"outputs={folder / 'segs'}", f"shards={JOBS}", "mem_mb=1000", "options=--zoom off", *of_config)
    return [str(snakemake), *map(str, places), "--config", *settings]


def begin_and_kill(command: list[str], runs: Runs, folder: Path) -> None:
    """Start Snakemake, halt a shard in its midst, and kill Snakemake and what writes."""
    segs = folder / "segs"
    with (folder / "first.log").open("wb") as log:
        process = subprocess.Popen(command, env=runs.environment, stdout=log, stderr=log, start_new_session=True)
    try:
        pause(segs, f"1/{JOBS}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        end_all(segs)
    assert 0 < len(results(segs)) < len(results(runs.expected)), (folder / "first.log").read_text()


def go_on(command: list[str], runs: Runs, folder: Path) -> None:
    """Run it again as its user would, to the end; only cases that were at hand may be done twice."""
    done = when_written(folder / "segs")
    runs(*command, "--unlock")
    runs(*command)
    check_whole(folder / "segs", runs.expected)
    now = when_written(folder / "segs")
    assert len({name for name in done if now[name] != done[name]}) <= JOBS
