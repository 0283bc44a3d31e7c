"""The real image, on a real engine, shut off from everything. $REPMEDSAM_IMAGE names the image."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.evaluation.evaluate import evaluate, mean_score
from tests.conftest import good_box, good_image, write_npz

pytestmark = pytest.mark.container

IMAGE = os.environ.get("REPMEDSAM_IMAGE", "")
HARDENED = ["--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
HARDENED += ["--security-opt", "no-new-privileges", "-m", "8G", "--memory-swap", "8G"]
MAX_IMAGE_BYTES = 625_000_000


@pytest.fixture(autouse=True)
def _needs_image() -> None:
    if not IMAGE:
        pytest.skip("REPMEDSAM_IMAGE names no image")


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Inputs and outputs that anybody may write to, as the challenge prepares them."""
    inputs, outputs = tmp_path / "inputs", tmp_path / "outputs"
    for folder in (inputs, outputs):
        folder.mkdir()
        folder.chmod(0o777)
    tmp_path.chmod(0o755)
    yield inputs, outputs


def docker(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True, check=False)


def run(inputs: Path, outputs: Path, *options: str, command: str = "sh predict.sh") -> subprocess.CompletedProcess[str]:
    mounts = ["-v", f"{inputs}:/workspace/inputs:ro", "-v", f"{outputs}:/workspace/outputs"]
    return docker("run", "--rm", *HARDENED, *options, *mounts, IMAGE, "/bin/bash", "-c", command)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("user", [[], ["--user", "4321:8765"], ["--user", "0:0"]], ids=["default", "any", "root"])
def test_all_samples_under_any_user_shut_off_from_everything(
    user: list[str], folders: tuple[Path, Path], samples: Path
) -> None:
    inputs, outputs = folders
    for path in samples.glob("*.npz"):
        shutil.copy(path, inputs)
    done = run(inputs, outputs, *user, "-e", "HOME=")
    assert done.returncode == 0, done.stderr
    assert names(outputs) == sorted([*names(inputs), "efficiency.csv", "labels.csv", "report.json"])
    for path in inputs.iterdir():
        with np.load(path) as case, np.load(outputs / path.name) as result:
            assert result["segs"].shape == case["gts"].shape
            assert result["segs"].any()


def test_the_challenges_own_command(folders: tuple[Path, Path], samples: Path) -> None:
    inputs, outputs = folders
    shutil.copy(samples / "2DBox_US_phantom_0000.npz", inputs)
    done = docker(
        *("container", "run", "-m", "8G", "--name", "repmedsam-challenge-test", "--rm"),
        *("-v", f"{inputs}:/workspace/inputs/", "-v", f"{outputs}:/workspace/outputs/"),
        *(IMAGE, "/bin/bash", "-c", "sh predict.sh"),
    )
    assert done.returncode == 0, done.stderr
    assert names(outputs) == ["2DBox_US_phantom_0000.npz", "efficiency.csv", "labels.csv", "report.json"]
    assert names(inputs) == ["2DBox_US_phantom_0000.npz"]


def test_a_bad_case_fails_alone(folders: tuple[Path, Path]) -> None:
    inputs, outputs = folders
    write_npz(inputs / "2D_good.npz", imgs=good_image(), boxes=good_box())
    (inputs / "2D_bad.npz").write_bytes(b"PK\x03\x04 no more")
    done = run(inputs, outputs)
    assert done.returncode == 1
    assert "2D_bad.npz" in done.stderr
    assert "Traceback" not in done.stderr
    assert names(outputs) == ["2D_good.npz", "efficiency.csv", "labels.csv", "report.json"]


def test_a_file_that_may_not_be_read_fails_alone(folders: tuple[Path, Path]) -> None:
    inputs, outputs = folders
    write_npz(inputs / "2D_good.npz", imgs=good_image(), boxes=good_box())
    write_npz(inputs / "2D_private.npz", imgs=good_image(), boxes=good_box()).chmod(0)
    done = run(inputs, outputs, "--user", "4321:8765")
    assert done.returncode == 1
    assert "2D_private.npz: cannot be opened" in done.stderr
    assert "2D_good.npz" in names(outputs)


def test_outputs_that_cannot_be_written_are_exit_code_3(folders: tuple[Path, Path]) -> None:
    inputs, outputs = folders
    write_npz(inputs / "2D.npz", imgs=good_image(), boxes=good_box())
    outputs.chmod(0o755)
    done = run(inputs, outputs, "--user", "4321:8765")
    assert done.returncode == 3
    assert "cannot be written by user 4321" in done.stderr
    assert names(outputs) == []


def test_a_full_disk_fails_the_case_and_leaves_nothing_torn(folders: tuple[Path, Path]) -> None:
    inputs, _ = folders
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    boxes = np.array([[7 * i, 3 * i, 7 * i + 60, 3 * i + 60] for i in range(30)])
    write_npz(inputs / "2D.npz", imgs=noise, boxes=boxes)
    # 4 kB of disk: room for a file's name, not for what it holds.
    full = ["--tmpfs", "/workspace/outputs:size=4k,mode=777"]
    mounts = ["-v", f"{inputs}:/workspace/inputs:ro"]
    fill = "head -c 4096 /dev/zero > outputs/filler; sh predict.sh; code=$?; ls -A outputs; exit $code"
    done = docker("run", "--rm", *HARDENED, *full, *mounts, IMAGE, "/bin/bash", "-c", fill)
    assert done.returncode == 1, done.stderr
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] == "filler"


def test_the_image_is_small_rootless_and_without_torch() -> None:
    inspected = json.loads(docker("image", "inspect", IMAGE).stdout)[0]
    assert inspected["Size"] < MAX_IMAGE_BYTES
    assert inspected["Config"]["User"] not in ("", "0", "root")
    assert not inspected["Config"].get("Entrypoint")
    probe = (
        "import importlib.util as u; print([m for m in ('torch', 'openvino_telemetry', 'openvino') if u.find_spec(m)])"
    )
    done = docker("run", "--rm", *HARDENED, IMAGE, "python3", "-c", probe)
    assert done.stdout.strip() == "['openvino']"


def test_a_run_writes_nothing_but_results(folders: tuple[Path, Path], samples: Path) -> None:
    inputs, outputs = folders
    shutil.copy(samples / "2DBox_US_phantom_0000.npz", inputs)
    name = "repmedsam-diff-test"
    docker("rm", "-f", name)
    mounts = ["-v", f"{inputs}:/workspace/inputs", "-v", f"{outputs}:/workspace/outputs"]
    done = docker("run", "--name", name, *mounts, IMAGE, "/bin/bash", "-c", "sh predict.sh")
    try:
        assert done.returncode == 0, done.stderr
        assert docker("diff", name).stdout.split("\n") == [""]
    finally:
        docker("rm", "-f", name)


def test_without_cases_one_line_says_what_to_mount() -> None:
    done = docker("run", "--rm", *HARDENED, IMAGE)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no cases: mount a folder of npz at /workspace/inputs: docker run --rm -v")


def test_results_that_would_stay_in_the_container_are_said(folders: tuple[Path, Path]) -> None:
    inputs, _ = folders
    write_npz(inputs / "2D.npz", imgs=good_image(), boxes=good_box())
    done = docker("run", "--rm", "-v", f"{inputs}:/workspace/inputs:ro", IMAGE)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("note: nothing is mounted at /workspace/outputs, so results stay in the container")


def test_the_command_is_found_and_is_of_the_version_that_the_labels_say() -> None:
    done = docker("run", "--rm", *HARDENED, IMAGE, "repmedsam", "info")
    assert done.returncode == 0, done.stderr
    labels = json.loads(docker("image", "inspect", IMAGE).stdout)[0]["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == json.loads(done.stdout)["repmedsam"]
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])


def test_docker_stop_ends_a_run_within_seconds_with_reports_of_what_was_done(folders: tuple[Path, Path]) -> None:
    inputs, outputs = folders
    for i in range(500):
        write_npz(inputs / f"2D_{i}.npz", imgs=good_image(), boxes=good_box())
    name = "repmedsam-stop-test"
    docker("rm", "-f", name)
    mounts = ["-v", f"{inputs}:/workspace/inputs:ro", "-v", f"{outputs}:/workspace/outputs"]
    docker("run", "-d", "--name", name, *HARDENED, *mounts, IMAGE, "sh", "predict.sh")
    try:
        while not list(outputs.glob("*.npz")):
            time.sleep(0.1)
        start = time.monotonic()
        docker("stop", "-t", "30", name)
        assert time.monotonic() - start < 10
        assert docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout.strip() == "143"
    finally:
        docker("rm", "-f", name)
    report = json.loads((outputs / "report.json").read_text())
    assert report["stopped_by"] == "SIGTERM"
    assert [case["case"] for case in report["cases"]] == [path for path in names(outputs) if path.endswith(".npz")]


@pytest.mark.real
def test_real_cases_are_segmented_well(folders: tuple[Path, Path], real_cases: Path) -> None:
    """The sanity bound is far below what the model card states, and far above what a broken pipeline reaches."""
    inputs, outputs = folders
    for path in real_cases.glob("*.npz"):
        shutil.copy(path, inputs)
    done = run(inputs, outputs)
    assert done.returncode == 0, done.stderr
    scores = [case.score for case in evaluate(outputs, inputs, challenge=False, baselines=False)]
    assert len(scores) == len(names(inputs))
    assert mean_score(scores).dsc > 0.6
