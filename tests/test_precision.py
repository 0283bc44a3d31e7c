"""The encoder's precision: auto is the fastest that is as accurate, on this processor, with these weights; on any
processor and system it is one that runs there.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.case import read_case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import check_engine, load_engine
from repmedsam_infer.engines.precision import VARIABLE, choose_precision, encoder_of, unquantized
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system import cpu
from repmedsam_infer.system.cpu import (
    LEFT,
    LIMITS,
    MATTER,
    VNNI,
    Processor,
    from_cpuinfo,
    from_sysctl,
    from_windows,
    limited,
    this_processor,
)
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.conftest import Repmedsam

WITH_INT8 = Weights(Path("weights"), {"encoder.xml": "", "encoder_int8.xml": ""})
WITHOUT = Weights(Path("weights"), {"encoder.xml": ""})
ZEN_3 = "vendor_id : AuthenticAMD\nflags : fma avx2\n"
ZEN_4 = "vendor_id : AuthenticAMD\nflags : avx2 avx512_vnni avx512_bf16\n"
ALDER_LAKE = "vendor_id : GenuineIntel\nflags : avx2 avx_vnni\n"
XEON_WITHOUT_AMX = "vendor_id : GenuineIntel\nflags : avx512f avx512_bf16\n"
XEON_WITH_AMX = "vendor_id : GenuineIntel\nflags : avx512f avx512_vnni avx_vnni avx512_bf16 amx_bf16 amx_int8\n"
GRAVITON_3 = "processor : 0\nFeatures : fp asimd asimddp i8mm bf16 sve\nCPU implementer : 0x41\nCPU part : 0xd40\n"
GRAVITON_2 = "processor : 0\nFeatures : fp asimd asimddp\nCPU implementer : 0x41\nCPU part : 0xd0c\n"
M1 = "machdep.cpu.brand_string: Apple M1\nhw.optional.arm.FEAT_BF16: 0\nhw.optional.arm.FEAT_DotProd: 1\n"
M2 = "machdep.cpu.brand_string: Apple M2\nhw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_I8MM: 1\n"
INTEL_OF_WINDOWS = {
    "PROCESSOR_ARCHITECTURE": "AMD64",
    "PROCESSOR_IDENTIFIER": "Intel64 Family 6 Model 154 Stepping 3, GenuineIntel",
}


def linux(cpuinfo: str, machine: str = "") -> Processor:
    return from_cpuinfo(cpuinfo.splitlines(), machine or ("aarch64" if "Features" in cpuinfo else "x86_64"))


def chosen(processor: Processor, weights: Weights = WITH_INT8) -> tuple[str, str]:
    """What auto takes for pictures and for volumes."""
    pictures, volumes = (choose_precision("auto", weights, volumes=v, processor=processor) for v in (False, True))
    return pictures.precision, volumes.precision


@pytest.mark.parametrize(
    ("cpuinfo", "weights", "pictures", "volumes"),
    [
        (ZEN_4, WITH_INT8, "bf16", "int8"),
        (ZEN_4, WITHOUT, "bf16", "bf16"),
        (ZEN_3, WITH_INT8, "fp32", "fp32"),  # int8 without VNNI was measured on no such machine
        (ALDER_LAKE, WITH_INT8, "fp32", "int8"),
        (XEON_WITHOUT_AMX, WITHOUT, "fp32", "fp32"),
        (XEON_WITH_AMX, WITHOUT, "bf16", "bf16"),
        (XEON_WITH_AMX, WITH_INT8, "bf16", "bf16"),
        (GRAVITON_3, WITH_INT8, "fp32", "fp32"),  # OpenVINO has no bf16 there
        (GRAVITON_2, WITH_INT8, "fp32", "fp32"),
        ("", WITH_INT8, "fp32", "fp32"),
    ],
)
def test_auto_follows_processor_and_weights(cpuinfo: str, weights: Weights, pictures: str, volumes: str) -> None:
    assert chosen(linux(cpuinfo), weights) == (pictures, volumes)


@pytest.mark.parametrize("processor", [from_sysctl(M1.splitlines()), from_sysctl([]), from_windows(INTEL_OF_WINDOWS)])
def test_where_the_system_states_no_instructions_auto_is_fp32_and_says_so(processor: Processor) -> None:
    assert chosen(processor) == ("fp32", "fp32")
    assert "does not state" in choose_precision("auto", WITH_INT8, volumes=True, processor=processor).why


def test_instructions_of_the_host_are_not_those_of_an_emulated_machine() -> None:
    assert chosen(linux(XEON_WITH_AMX, "x86_64")) == ("bf16", "bf16")
    emulated = linux(XEON_WITH_AMX, "aarch64")
    assert chosen(emulated) == ("fp32", "fp32")
    assert emulated.identity != linux(XEON_WITH_AMX).identity


def test_processors_have_names_and_are_told_apart_on_every_system() -> None:
    found = [
        linux("model name : AMD EPYC 9R14\nflags : avx2\n"),
        linux("model name : AMD EPYC 9R14\nflags : avx2 avx512f\n"),  # a hypervisor allows more
        linux(GRAVITON_3),
        linux(GRAVITON_2),
        from_sysctl(M1.splitlines()),
        from_sysctl(M2.splitlines()),
        from_windows(INTEL_OF_WINDOWS),
        from_windows({}),
    ]
    names = [processor.name for processor in found]
    assert names[0] == "AMD EPYC 9R14"
    assert names[4:7] == ["Apple M1", "Apple M2", INTEL_OF_WINDOWS["PROCESSOR_IDENTIFIER"]]
    assert len({processor.identity for processor in found}) == len(found)
    assert found[6].vendor == "GenuineIntel"


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_nothing_that_is_missing_is_an_error(system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "none")
    for name in (*LIMITS, *INTEL_OF_WINDOWS):
        monkeypatch.delenv(name, raising=False)
    cpu.sysctl.cache_clear()
    if system != "darwin" or not Path("/usr/sbin/sysctl").exists():
        assert this_processor().flags == frozenset()
    cpu.sysctl.cache_clear()
    assert chosen(this_processor()) == ("fp32", "fp32")


@pytest.mark.parametrize("variable", LIMITS)
@pytest.mark.parametrize(
    ("limit", "pictures", "volumes"),
    [
        ("SSE41", "fp32", "fp32"),
        ("AVX2", "fp32", "fp32"),
        ("avx2", "fp32", "fp32"),
        ("AVX2_VNNI", "fp32", "int8"),
        ("AVX512_CORE", "fp32", "fp32"),
        ("AVX512_CORE_VNNI", "fp32", "int8"),
        ("AVX512_CORE_BF16", "fp32", "int8"),
        ("AVX512_CORE_FP16", "fp32", "int8"),
        ("AVX512_CORE_AMX", "bf16", "bf16"),
        ("ALL", "bf16", "bf16"),
        ("", "bf16", "bf16"),
    ],
)
def test_auto_takes_nothing_that_openvino_is_kept_from(variable: str, limit: str, pictures: str, volumes: str) -> None:
    assert chosen(limited(linux(XEON_WITH_AMX), {variable: limit})) == (pictures, volumes)


FLAGS = st.frozensets(st.sampled_from([*sorted(MATTER), "avx2", "asimd", "bf16", "i8mm"]))


@given(
    FLAGS,
    st.sampled_from(["AuthenticAMD", "GenuineIntel", ""]),
    st.dictionaries(st.sampled_from(LIMITS), st.sampled_from([*LEFT, "ALL"])),
)
def test_auto_takes_what_the_processor_has_and_a_limit_leaves(
    flags: frozenset[str], vendor: str, limits: dict[str, str]
) -> None:
    processor = limited(Processor("", vendor, flags, ("any",)), limits)
    left = flags.intersection(*(LEFT[limit] for limit in limits.values() if limit in LEFT))
    pictures, volumes = chosen(processor)
    assert pictures in ("bf16", "fp32")
    assert "bf16" not in (pictures, volumes) or left & {"avx512_bf16", "amx_bf16"}
    assert (volumes == "int8") == bool(left & VNNI and "amx_bf16" not in left)
    assert "int8" not in chosen(processor, WITHOUT)


@pytest.mark.parametrize("variable", LIMITS)
def test_bf16_that_a_limit_forbids_is_refused_by_its_name(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "AVX2")
    with pytest.raises(UsageError, match=f"{variable}=AVX2.*--precision auto"):
        choose_precision("bf16", WITH_INT8, volumes=False)


@pytest.mark.parametrize(("cpuinfo", "rest"), [(ZEN_4, "bf16"), (ALDER_LAKE, "fp32")])
def test_what_int8_leaves_out_runs_in_what_is_fast(
    cpuinfo: str, rest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert unquantized("int8") == rest
    assert unquantized("fp32") == "fp32"


def test_what_is_asked_for_is_taken() -> None:
    assert choose_precision("fp32", WITH_INT8, volumes=True, processor=linux(ZEN_4)).precision == "fp32"
    with pytest.raises(SetupError, match="no int8 encoder"):
        choose_precision("int8", WITHOUT, volumes=True)


@pytest.mark.parametrize(
    ("value", "pictures", "volumes"),
    [
        ("fp32", "fp32", "fp32"),
        ("volumes=bf16", "bf16", "bf16"),
        ("pictures=fp32,volumes=bf16", "fp32", "bf16"),
        (" Pictures = INT8 , volumes=auto", "int8", "int8"),
        ("auto", "bf16", "int8"),
        ("", "bf16", "int8"),
    ],
)
def test_auto_is_what_the_variable_names(
    value: str, pictures: str, volumes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert chosen(linux(ZEN_4)) == (pictures, volumes)
    assert choose_precision("fp32", WITH_INT8, volumes=True, processor=linux(ZEN_4)).precision == "fp32"  # asked for


@pytest.mark.parametrize("value", ["fp8", "movies=bf16", "pictures", "bf16,", "pictures=bf16=int8"])
def test_a_variable_that_says_something_else_is_refused(
    value: str, monkeypatch: pytest.MonkeyPatch, repmedsam: Repmedsam
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    done = repmedsam("info")
    assert done.code == 2
    assert VARIABLE in done.err
    assert "pictures=bf16,volumes=int8" in done.err


def test_weights_without_what_the_variable_names_are_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "int8")
    with pytest.raises(SetupError, match=VARIABLE):
        choose_precision("auto", WITHOUT, volumes=True)


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


KEPT_FROM = """
import sys
import numpy as np
from pathlib import Path
from repmedsam_infer.case import read_case
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.weights import find_weights
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch
for path in map(Path, sys.argv[2:]):
    case = read_case(path)
    engine = load_engine("openvino", find_weights(), 2, volumes=case.is_volume)
    np.save(Path(sys.argv[1]) / path.stem, segment(case, engine, Stopwatch()).labels)
    print(engine.precision)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="OpenVINO's limits are those of x86-64")
@pytest.mark.parametrize("limit", ["AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_BF16"])
@pytest.mark.parametrize("variables", [LIMITS[:2], LIMITS[:1], LIMITS[1:2]], ids=["both", "OpenVINO", "oneDNN"])
def test_auto_runs_on_lesser_processors_and_is_right_there(
    limit: str, variables: tuple[str, ...], openvino_engine: Engine, samples: Path, tmp_path: Path
) -> None:
    paths = [samples / "2DBox_US_phantom_0000.npz", sorted(samples.glob("3D*.npz"))[0]]
    environment = {**os.environ, **dict.fromkeys(variables, limit)}
    command = [sys.executable, "-c", KEPT_FROM, str(tmp_path), *map(str, paths)]
    subprocess.run(command, env=environment, check=True)
    for path in paths:
        case = read_case(path)
        ours, exact = np.load(tmp_path / f"{path.stem}.npy"), segment(case, openvino_engine, Stopwatch()).labels
        for label in case.boxes.labels:
            one, other = ours == label, exact == label
            assert 2 * (one & other).sum() >= 0.97 * (one.sum() + other.sum())


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_other_engines_are_in_fp32_whatever_is_named_for_auto(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "pictures=bf16,volumes=int8")
    assert check_engine(engine, WITHOUT, "auto", volumes=True).precision == "fp32"


def test_weights_without_an_encoder_in_bf16_have_that_in_fp32_for_it() -> None:
    both = Weights(Path("weights"), {"encoder.xml": "", "encoder_bf16.xml": ""})
    assert [encoder_of(precision, both) for precision in ("fp32", "bf16")] == ["encoder", "encoder_bf16"]
    assert [encoder_of(precision, WITH_INT8) for precision in ("bf16", "int8")] == ["encoder", "encoder_int8"]
