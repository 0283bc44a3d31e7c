"""What many tests need: the shipped weights, an engine, drawn cases, the command line in this process."""

import contextlib
import io
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from repmedsam_infer.cli import main
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.weights import STORE, Weights, find_weights
from repmedsam_infer.evaluation.phantoms import write_samples
from repmedsam_infer.shards.array_job import SYSTEMS

settings.register_profile("untimed", deadline=None)  # speed lives in benchmarks
settings.load_profile("untimed")
# Workers share the cores: torch, which is not loaded yet, would start as many threads in each, and they would wait for
# each other.
if (workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

PARITY = Path(__file__).parent / "parity"


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of compiled networks of all tests: none reads or fills that of the user.

    None takes the user's precision either, or is a task of an array job.
    """
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("compiled")
        patch.setenv("REPMEDSAM_CACHE", str(folder))
        patch.delenv("REPMEDSAM_PRECISION", raising=False)
        for system in SYSTEMS:
            patch.delenv(system.task, raising=False)
        yield folder


@pytest.fixture(scope="session")
def weights() -> Weights:
    return find_weights()


@pytest.fixture(scope="session")
def openvino_engine(weights: Weights) -> Engine:
    """In fp32: bit by bit what the reference does, on every processor."""
    return load_engine("openvino", weights, 2, "fp32")


@pytest.fixture(scope="session")
def torch_engine(weights: Weights) -> Engine:
    pytest.importorskip("torch")
    return load_engine("torch", weights, 2)


@pytest.fixture(scope="session")
def onnx_weights(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The shipped weights as ONNX: a quarter of a minute, for slow tests."""
    pytest.importorskip("onnxscript")
    from repmedsam_train.cli import calibration_of, rep_med_sam
    from repmedsam_train.weights.onnx_folder import export_onnx

    folder, source = tmp_path_factory.mktemp("onnx"), weights.folder / STORE
    export_onnx(rep_med_sam(source), source, folder, calibration_of(source))
    return find_weights(folder)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the phantoms that `repmedsam samples` draws."""
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


@dataclass
class Result:
    code: int
    out: str
    err: str


Repmedsam = Callable[..., Result]


@pytest.fixture
def repmedsam(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Repmedsam:
    """The command line, run in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["repmedsam", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
            sys.exit(0)
        captured = capfd.readouterr()
        return Result(int(stopped.value.code or 0), captured.out, captured.err)

    return run


def write_npz(path: Path, **arrays: NDArray[Any]) -> Path:
    """A case as numpy writes it."""
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def write_raw_npz(path: Path, **members: bytes) -> Path:
    """An npz file whose members are just these bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy_header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """The beginning of an npy file that declares this shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def good_image(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    disc = (np.hypot(y - height / 2, x - width / 2) < min(height, width) / 4) * 120
    return np.repeat((60 + disc)[..., None], 3, -1).astype(np.uint8)


def good_box() -> NDArray[np.int64]:
    return np.array([[18, 8, 42, 32]])


@contextlib.contextmanager
def takes_less_than(most_bytes: float) -> Iterator[None]:
    """Python and numpy have at no time more than this of memory of their own within it."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most_bytes


@pytest.fixture(scope="session")
def real_cases() -> Path:
    """A folder of real cases with ground truth, named by $REPMEDSAM_REAL_CASES; they are not part of the project."""
    folder = os.environ.get("REPMEDSAM_REAL_CASES")
    if not folder:
        pytest.skip("REPMEDSAM_REAL_CASES names no folder of real cases")
    return Path(folder)
