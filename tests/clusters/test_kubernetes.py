"""The files for Kubernetes: held against its schema; the program does in a pod's folder what they say.

There is no cluster here: what its scheduler makes of them is not tested.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clusters.runs import WORKFLOW, Runs

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
FILES = ("indexed_job.yaml", "merge_job.yaml", "volume_claim.yaml")
VERSIONS = ("1.29", "1.33", "1.37")  # the first that takes all of it, that which calls it stable, a recent one
READ = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"


def read(name: str, snakemake: Path) -> Any:
    """What a file says, read by the YAML of Snakemake's environment."""
    done = subprocess.run(
        [snakemake.with_name("python"), "-c", READ, WORKFLOW / name], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def validate(path: Path, version: str, snakemake: Path) -> subprocess.CompletedProcess[str]:
    command = [str(snakemake.with_name("kubernetes-validate")), "--strict", "-k", version, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", VERSIONS)
def test_files_fit_the_schema(version: str, snakemake: Path, tmp_path: Path) -> None:
    for name in FILES:
        done = validate(WORKFLOW / name, version, snakemake)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "passed" in done.stdout + done.stderr
    misspelt = tmp_path / "job.yaml"
    misspelt.write_text((WORKFLOW / FILES[0]).read_text().replace("backoffLimitPerIndex", "backoffLimitPerIndx"))
    assert validate(misspelt, version, snakemake).returncode != 0


def test_pods_do_the_first_and_the_last_shard(plain: Runs, snakemake: Path, tmp_path: Path) -> None:
    job = read("indexed_job.yaml", snakemake)["spec"]
    (container,) = job["template"]["spec"]["containers"]
    command = container["command"]
    count = job["completions"]
    assert job["completionMode"] == "Indexed"
    assert command[command.index("--shard") + 1] == str(count)
    (tmp_path / "cases").symlink_to(plain.cases)
    for index in (0, count - 1):
        environment = {**plain.environment, "JOB_COMPLETION_INDEX": str(index)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    reports = [tmp_path / "segs" / f"report.{number}-of-{count}.json" for number in (1, count)]
    assert [path.exists() for path in reports] == [True, True]

    (container,) = read("merge_job.yaml", snakemake)["spec"]["template"]["spec"]["containers"]
    merged = subprocess.run(
        container["command"], cwd=tmp_path, env=plain.environment, capture_output=True, text=True, check=False
    )
    assert merged.returncode == 1, "14 shards are missing"
    assert (tmp_path / "segs" / "report.json").exists()


def test_pods_may_do_nothing_but_segment(snakemake: Path) -> None:
    """No root, no way to become it, nothing to write but the volume and /tmp, no key of the cluster."""
    for name in ("indexed_job.yaml", "merge_job.yaml"):
        pod = read(name, snakemake)["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["restartPolicy"] == "Never"  # as rules on failures demand
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/data", "/tmp"}
