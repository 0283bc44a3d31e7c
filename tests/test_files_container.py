"""The container for files as people have them, shut off from everything. $REPMEDSAM_FILES_IMAGE names the image."""

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nibabel")
pytest.importorskip("pydicom")

from repmedsam_infer.formats import read_scan
from tests.dicom_files import write_series
from tests.test_container import HARDENED, docker
from tests.test_segment_files import ct_phantom, write_nifti

pytestmark = pytest.mark.container

IMAGE = os.environ.get("REPMEDSAM_FILES_IMAGE", "")
AFFINE = np.diag([-0.8, -0.8, 5.0, 1])
MAX_IMAGE_BYTES = 970_000_000
LIBRARIES = (
    "import ctypes, pathlib; found = sorted(pathlib.Path('/opt').rglob('*.so*')); "
    "[ctypes.PyDLL(str(path)) for path in found]; print(len(found))"
)
FRAMES = "import pydicom; print(pydicom.dcmread('labels.dcm').NumberOfFrames)"


@pytest.fixture(autouse=True)
def _needs_image() -> None:
    if not IMAGE:
        pytest.skip("REPMEDSAM_FILES_IMAGE names no image")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A CT as NIfTI, NRRD, MetaImage and a DICOM series, in a folder that anybody may write to."""
    import SimpleITK

    voxels, _, _ = ct_phantom()
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    tmp_path.chmod(0o755)
    write_nifti(data / "ct.nii.gz", voxels, AFFINE)
    write_series(data / "series", voxels, AFFINE @ np.diag([-1, -1, 1, 1]))
    for name in ("ct.nrrd", "ct.mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(data / name))
    return data


def repmedsam(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = [*HARDENED, "--user", "4321:8765", "-v", f"{data}:/data"]
    return docker("run", "--rm", *options, IMAGE, "repmedsam", *arguments)


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("ct.nii.gz", "labels.nii.gz"),
        ("series", "labels.dcm"),
        ("series", "labels.nii"),
        ("ct.nrrd", "labels.nrrd"),
        ("ct.mha", "labels.mha"),
    ],
)
def test_segment_shut_off_under_any_user(source: str, result: str, data: Path) -> None:
    _, organ, box = ct_phantom()
    before = sorted(path.name for path in data.iterdir())
    numbers = ",".join(map(str, box))
    done = repmedsam(data, "segment", source, "--box", numbers, "--window", "abdomen", "-o", result)
    assert done.returncode == 0, done.stderr
    beside = ["labels.labels.csv", *(["labels.labels.txt"] if result.endswith((".nii", ".nii.gz", ".mha")) else [])]
    assert sorted(path.name for path in data.iterdir()) == sorted([*before, result, *beside])
    if result.endswith(".dcm"):
        frames = json.loads(docker("run", "--rm", "-v", f"{data}:/data:ro", IMAGE, "python3", "-c", FRAMES).stdout)
        assert frames > 0
        return
    mask = read_scan(data / result).voxels == 1
    assert (mask & organ).sum() / (mask | organ).sum() > 0.8


def test_compressed_dicom_can_be_decoded() -> None:
    probe = (
        "import gdcm, openjpeg, _CharLS; from pydicom.pixels.decoders import JPEG2000Decoder, JPEGLosslessDecoder; "
        "print(JPEG2000Decoder.is_available and JPEGLosslessDecoder.is_available and gdcm.ImageReader() is not None)"
    )
    done = docker("run", "--rm", *HARDENED, IMAGE, "python3", "-c", probe)
    assert done.stdout.strip() == "True", done.stderr


def test_every_library_loads_after_what_was_taken_out_of_the_image() -> None:
    done = docker("run", "--rm", *HARDENED, IMAGE, "python3", "-c", LIBRARIES)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 80


def test_python_files_in_the_mounted_folder_are_not_imported(data: Path) -> None:
    (data / "typer.py").write_text("raise SystemExit('imported')")
    done = repmedsam(data, "--version")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_folder_one_line_says_what_to_mount() -> None:
    done = docker("run", "--rm", *HARDENED, IMAGE)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith('error: mount a folder and name a command: docker run --rm -v "$PWD:/data"')


def test_a_command_without_a_folder_says_that_nothing_is_mounted() -> None:
    done = docker(
        "run", "--rm", *HARDENED, IMAGE, "repmedsam", "segment", "ct.nii", "--box", "1,2,3,4", "-o", "out.nii"
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("note: nothing is mounted, so no file of yours is here; mount a folder")
    helped = docker("run", "--rm", *HARDENED, IMAGE, "repmedsam", "segment", "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "Usage: repmedsam segment" in helped.stdout


def test_the_image_is_small_rootless_and_says_what_it_was_made_of() -> None:
    inspected = json.loads(docker("image", "inspect", IMAGE).stdout)[0]
    assert inspected["Size"] < MAX_IMAGE_BYTES
    assert inspected["Config"]["User"] not in ("", "0", "root")
    info = json.loads(docker("run", "--rm", *HARDENED, IMAGE, "repmedsam", "info").stdout)
    labels = inspected["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == info["repmedsam"]
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
