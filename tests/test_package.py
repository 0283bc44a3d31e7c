"""What people install: small enough for PyPI, and complete. Both engines and training start from a wheel's weights."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("build")
pytest.importorskip("torch")

from repmedsam_infer.network import reparameterize
from repmedsam_train.finetune import load_initial
from repmedsam_train.recipe import Recipe
from repmedsam_train.weights.networks import load_trained, untrained

ROOT = Path(__file__).parent.parent
MAX_BYTES = 90_000_000  # PyPI takes 100 MB
SAMPLE = "2DBox_US_phantom_0000.npz"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", out, ROOT], check=True, capture_output=True)
    return {"sdist": next(out.glob("*.tar.gz")), "wheel": next(out.glob("*.whl"))}


@pytest.fixture(scope="module")
def installed(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "pip"), "install", "-q", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, f"{built['wheel']}[torch]"], check=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_it_is_small_enough_to_be_published(kind: str, built: dict[str, Path]) -> None:
    assert built[kind].stat().st_size < MAX_BYTES


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_both_packages_and_of_the_weights(built: dict[str, Path]) -> None:
    packages = [path for name in ("repmedsam_infer", "repmedsam_train") for path in (ROOT / name).rglob("*")]
    wanted = {path.relative_to(ROOT).as_posix() for path in packages if path.is_file() and path.suffix != ".pyc"}
    wanted |= {f"repmedsam_infer/weights/{path.name}" for path in (ROOT / "weights").iterdir()}
    assert any(not name.endswith(".py") for name in wanted)
    with zipfile.ZipFile(built["wheel"]) as wheel:
        assert wanted - set(wheel.namelist()) == set()


@pytest.mark.slow
def test_an_installed_wheel_segments_with_both_engines(installed: Path, tmp_path: Path) -> None:
    def repmedsam(*arguments: object) -> str:
        command = [str(installed / "bin" / "repmedsam"), *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    info = json.loads(repmedsam("info"))
    weights = Path(info["weights"]["folder"])
    assert installed in weights.parents
    assert set(info["weights"]["files"]) == {path.name for path in weights.iterdir()} - {
        "LICENSE", "MODEL_CARD.md", "SHA256SUMS",
    }  # fmt: skip

    repmedsam("samples", "cases")
    for path in (tmp_path / "cases").iterdir():
        if path.name != SAMPLE:
            path.unlink()
    masks = []
    for engine in ("openvino", "torch"):
        repmedsam("predict", "-i", "cases", "-o", engine, "--engine", engine, "--precision", "fp32")
        with np.load(tmp_path / engine / SAMPLE) as npz:
            masks.append(npz["segs"] > 0)
    assert masks[0].any()
    assert (masks[0] & masks[1]).sum() >= 0.999 * (masks[0] | masks[1]).sum()


@pytest.mark.slow
def test_training_goes_on_from_an_installed_wheel(installed: Path) -> None:
    (store,) = installed.glob("lib/python3*/site-packages/repmedsam_infer/weights/repmedsam.safetensors")
    network = load_initial(untrained(Recipe()), store, fused=True, batches=())
    for name, tensor in reparameterize(load_trained(store)).state_dict().items():
        np.testing.assert_array_equal(network.state_dict()[name].numpy(), tensor.numpy())
