"""The page in its container, as `make docker-app` runs it. $REPMEDSAM_APP_IMAGE names the image."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.formats import read_scan
from tests.app_server import DONE, LINK, App
from tests.test_app import BONE, ct_voxels
from tests.test_container import HARDENED, docker

pytestmark = pytest.mark.container
nibabel = pytest.importorskip("nibabel")

IMAGE = os.environ.get("REPMEDSAM_APP_IMAGE", "")
NETWORK = "repmedsam-test"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A container that may be reached at one port of this machine, and reaches nothing."""
    if not IMAGE:
        pytest.skip("REPMEDSAM_APP_IMAGE names no image")
    images = tmp_path / "images"
    images.mkdir()
    images.chmod(0o777)
    tmp_path.chmod(0o755)
    nibabel.save(nibabel.Nifti1Image(ct_voxels().T, np.diag([-1.5, -1.5, 4.0, 1])), images / "ct.nii.gz")
    docker("network", "create", "-o", "com.docker.network.bridge.enable_ip_masquerade=false", NETWORK)
    shut_off = [part for part in HARDENED if part not in ("--network", "none")]
    mounts = ["-v", f"{images}:/workspace/images", "-v", "repmedsam-test-kept:/workspace/kept"]
    started = docker(
        "run", "-d", *shut_off, "--user", "4321:8765", "--network", NETWORK, "-p", "127.0.0.1:0:8321", *mounts, IMAGE
    )
    assert started.returncode == 0, started.stderr
    container = started.stdout.strip()
    try:
        end = time.monotonic() + DONE
        while (found := LINK.search(docker("logs", container).stdout)) is None and time.monotonic() < end:
            time.sleep(0.2)
        assert found is not None, docker("logs", container)
        port = int(docker("port", container, "8321").stdout.splitlines()[0].rpartition(":")[2])
        # The process is the engine's client: the container is ended below.
        app = App(subprocess.Popen(["true"], text=True), found.group(0), port, found.group(2))
        app.process.wait()
        app.open_link()
        yield app
    finally:
        docker("rm", "-f", container)
        docker("network", "rm", NETWORK)
        docker("volume", "rm", "repmedsam-test-kept")


def test_the_page_is_served_shut_off_and_saves_beside_the_image(app: App, tmp_path: Path) -> None:
    assert b"RepMedSAM" in app.get("/").body
    case = app.cases()["ct.nii.gz"]
    app.edit(case, "add_object", box=list(BONE), name="bone")
    app.settled(case)
    saved = app.post(f"/api/cases/{case}/save", {"format": ".nii.gz"})
    assert saved.status == 200, saved.body
    assert set(np.unique(read_scan(tmp_path / "images" / "ct_labels.nii.gz").voxels)) == {0, 1}
    assert app.get("/api/cases", headers={"Cookie": None}).status == 401
    assert app.get("/api/cases", headers={"Host": "evil.example"}).status == 403
