"""Which processor this is, as the system states it."""

import itertools
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
IDENTITY = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features")


def processor() -> str:
    """Its name."""
    return first_processor().get("model name") or platform.processor() or platform.machine()


def processor_identity() -> tuple[str, ...]:
    """Return what compiled code depends on: the processor, and the instructions that it or a hypervisor allows."""
    entries = first_processor()
    if not entries:
        return platform.system(), platform.machine(), platform.processor()
    return tuple(f"{name}: {entries[name]}" for name in IDENTITY if name in entries)


def fast_formats() -> set[str]:
    """Return number formats that this processor multiplies in faster than in fp32: `int8`, `bf16`.

    AVX-512 BF16 alone is not enough on Intel's: without AMX an encoding takes 1.65 times as long as in fp32, on AMD's
    half as long. None where the system does not state it (Windows, macOS).
    """
    entries = first_processor()
    flags = set(entries.get("flags", "").split())
    formats = set()
    if flags & {"avx512_vnni", "avx_vnni", "amx_int8"}:
        formats.add("int8")
    if "amx_bf16" in flags or ("avx512_bf16" in flags and entries.get("vendor_id") == "AuthenticAMD"):
        formats.add("bf16")
    return formats


def first_processor() -> dict[str, str]:
    """Return what /proc/cpuinfo states of the first of them; the others are not read. Empty where there is none."""
    try:
        with CPUINFO.open() as file:
            pairs = [line.partition(":")[::2] for line in itertools.takewhile(str.strip, file)]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, value in pairs}
