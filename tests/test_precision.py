"""The encoder's precision: auto is the fastest that is as accurate, on this processor, with these weights."""

from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.case import read_case
from repmedsam_infer.engines import precision
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.precision import choose_precision, unquantized
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system import cpu as processor
from repmedsam_infer.system.stopwatch import Stopwatch

WITH_INT8 = Weights(Path("weights"), {"encoder.xml": "", "encoder_int8.xml": ""})
WITHOUT = Weights(Path("weights"), {"encoder.xml": ""})
ZEN_3 = "vendor_id : AuthenticAMD\nflags : fma avx2\n"
ZEN_4 = "vendor_id : AuthenticAMD\nflags : avx2 avx512_vnni avx512_bf16\n"
ALDER_LAKE = "vendor_id : GenuineIntel\nflags : avx2 avx_vnni\n"
XEON_WITHOUT_AMX = "vendor_id : GenuineIntel\nflags : avx512f avx512_bf16\n"
XEON_WITH_AMX = "vendor_id : GenuineIntel\nflags : avx512f avx512_bf16 amx_bf16\n"


@pytest.mark.parametrize(
    ("cpuinfo", "weights", "pictures", "volumes"),
    [
        (ZEN_4, WITH_INT8, "bf16", "int8"),
        (ZEN_4, WITHOUT, "bf16", "bf16"),
        (ZEN_3, WITH_INT8, "fp32", "fp32"),  # without VNNI, 8-bit products may overflow
        (ALDER_LAKE, WITH_INT8, "fp32", "int8"),
        (XEON_WITHOUT_AMX, WITHOUT, "fp32", "fp32"),
        (XEON_WITH_AMX, WITHOUT, "bf16", "bf16"),
        ("", WITH_INT8, "fp32", "fp32"),
    ],
)
def test_auto_follows_processor_and_weights(
    cpuinfo: str, weights: Weights, pictures: str, volumes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert choose_precision("auto", weights, volumes=False).precision == pictures
    assert choose_precision("auto", weights, volumes=True).precision == volumes


@pytest.mark.parametrize(("cpuinfo", "rest"), [(ZEN_4, "bf16"), (ALDER_LAKE, "fp32")])
def test_what_int8_leaves_out_runs_in_what_is_fast(
    cpuinfo: str, rest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert unquantized("int8") == rest
    assert unquantized("fp32") == "fp32"


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "fast_formats", lambda: {"int8"})
    assert choose_precision("fp32", WITH_INT8, volumes=True).precision == "fp32"
    with pytest.raises(SetupError, match="no int8 encoder"):
        choose_precision("int8", WITHOUT, volumes=True)


def test_an_unknown_precision_is_refused(weights: Weights) -> None:
    with pytest.raises(UsageError, match="auto, fp32, bf16, int8"):
        load_engine("openvino", weights, 1, "fp8")
    with pytest.raises(UsageError, match="fp32 only"):
        load_engine("torch", weights, 1, "bf16")


@pytest.mark.slow
def test_int8_masks_are_close_to_those_in_fp32(weights: Weights, openvino_engine: Engine, samples: Path) -> None:
    """On drawn cases: intersection over union at least 0.98 on average, 0.9 for every object."""
    int8 = load_engine("openvino", weights, 2, "int8")
    ious = []
    for path in sorted(samples.glob("*.npz")):
        case = read_case(path)
        ours, exact = (segment(case, engine, Stopwatch()).labels for engine in (int8, openvino_engine))
        for label in case.boxes.labels:
            one, other = ours == label, exact == label
            ious.append((one & other).sum() / max((one | other).sum(), 1))
    assert np.mean(ious) >= 0.98
    assert np.min(ious) >= 0.9
