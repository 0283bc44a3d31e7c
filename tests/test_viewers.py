"""`repmedsam serve` with a real viewer: napari and its plug-in napari-nninteractive, used by mouse events.

They are not among the project's requirements. $REPMEDSAM_NAPARI_PYTHON names a Python that has them (docs/viewers.md).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_app import ct_voxels
from tests.viewer_server import serving

DRIVE = Path(__file__).with_name("napari_drive.py")
MODULES = ("napari", "napari_nninteractive", "napari_nifti")
FIRST, SECOND = (6, 26, 21, 49, 48), (8, 35, 60, 54, 79)  # slice, row, column, row, column: two organs
pytestmark = pytest.mark.slow


def napari_python() -> str:
    """The Python that has napari and the plug-in; skips where there is none."""
    named = os.environ.get("REPMEDSAM_NAPARI_PYTHON")
    if named is not None:
        imported = subprocess.run(
            [named, "-c", f"import {', '.join(MODULES)}"], capture_output=True, text=True, check=False
        )
        assert imported.returncode == 0, imported.stderr
        return named
    if not all(find_spec(name) for name in MODULES):
        pytest.skip("needs napari and napari-nninteractive: set REPMEDSAM_NAPARI_PYTHON to a Python that has them")
    return sys.executable


def screen() -> tuple[str, ...]:
    """What a command is started with, so that it has a screen with OpenGL."""
    if shutil.which("xvfb-run"):
        return ("xvfb-run", "-a", "-s", "-screen 0 1600x1000x24")
    if not os.environ.get("DISPLAY"):
        pytest.skip("napari needs a screen: install xvfb, or set DISPLAY")
    return ()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What came of using it (napari_drive.py)."""
    nibabel = pytest.importorskip("nibabel")
    python, started_with = napari_python(), screen()
    folder = tmp_path_factory.mktemp("napari")
    nibabel.save(nibabel.Nifti1Image(ct_voxels().T, np.diag([1.5, 1.5, 4.0, 1])), folder / "ct.nii.gz")
    with serving("--max-sessions", 1) as server:
        task = {"url": server.url, "image": str(folder / "ct.nii.gz"), "boxes": [FIRST, SECOND], "picture": None}
        (folder / "task.json").write_text(json.dumps(task), "utf-8")
        used = subprocess.run(
            [*started_with, python, str(DRIVE), str(folder / "task.json")],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            # No settings of a person's own napari are read or changed.
            env={
                **os.environ,
                "HOME": str(folder),
                "XDG_CONFIG_HOME": str(folder),
                **({"QT_QPA_PLATFORM": "xcb", "LIBGL_ALWAYS_SOFTWARE": "1"} if started_with else {}),
            },
        )
    assert used.returncode == 0, used.stdout + used.stderr
    return json.loads(used.stdout.splitlines()[-1])


def test_it_connects_and_offers_the_box_alone(found: Mapping[str, Any]) -> None:
    assert found["status"].startswith("connected (http://127.0.0.1:")
    assert "BY-SA" in found["license"]
    assert {name.split()[0]: on for name, on in found["tools"].items()} == {
        "Point": False,
        "BBox": True,
        "Scribble": False,
        "Lasso": False,
    }
    assert found["notices"] == []


def test_a_box_that_is_dragged_on_a_slice_gives_the_object_through_the_volume(found: Mapping[str, Any]) -> None:
    slices, rows, columns = found["box"]
    assert slices == [6, 6]
    assert np.allclose([rows, columns], [[26, 49], [21, 48]], atol=1)
    assert found["first"]["slices"] > 3
    assert found["first"]["voxels"] == pytest.approx((ct_voxels() == 160).sum(), rel=0.25)


def test_a_box_is_undone_and_a_negative_one_takes_away(found: Mapping[str, Any]) -> None:
    assert found["undone"]["voxels"] == 0
    assert found["again"] == found["first"]
    assert 0 < found["taken away"]["voxels"] < found["first"]["voxels"]


def test_the_next_object_has_a_mask_of_its_own_and_can_be_reset(found: Mapping[str, Any]) -> None:
    assert len(found["stored"]) == 1
    assert found["stored mask"] == found["first"]
    assert found["empty"]["voxels"] == 0
    assert found["waiting"]["voxels"] == 0  # until "Run" is pressed
    assert found["second"]["voxels"] == pytest.approx((ct_voxels() == 400).sum(), rel=0.25)
    assert found["second"]["ends"][2][0] > 55
    assert found["reset"]["voxels"] == 0
