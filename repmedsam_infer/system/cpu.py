"""Which processor this is, and what it can do, as the system states it.

Linux states the instructions that are left to a process, in /proc/cpuinfo. macOS states the name and which parts of
the architecture there are; Windows family, model and maker, from which instructions cannot be told: a hypervisor may
withhold them.
"""

import functools
import itertools
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

CPUINFO = Path("/proc/cpuinfo")
X86 = ("x86_64", "AMD64", "i686")
IDENTITY = (  # on x86-64, then on arm64
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),
)
VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})  # each adds products of 8-bit integers in one step
# Both libraries in OpenVINO can be kept from instructions, for tests. Of those that matter here a limit leaves:
LIMITS = ("OV_CPU_MAX_ISA", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
MATTER = VNNI | {"avx512_bf16", "amx_bf16"}
LEFT: Mapping[str, frozenset[str]] = {
    "SSE41": frozenset(),
    "SSE42": frozenset(),
    "AVX": frozenset(),
    "AVX2": frozenset(),
    "AVX2_VNNI": frozenset({"avx_vnni"}),
    "AVX2_VNNI_2": frozenset({"avx_vnni"}),
    "AVX512_CORE": frozenset(),
    "AVX512_CORE_VNNI": frozenset({"avx512_vnni"}),
    "AVX512_CORE_BF16": frozenset({"avx512_vnni", "avx512_bf16"}),
    "AVX512_CORE_FP16": frozenset({"avx512_vnni", "avx512_bf16", "avx_vnni"}),
}


class Processor(NamedTuple):
    """A processor: vendor and flags are as /proc/cpuinfo has them, and empty where the system does not state them.

    identity is what compiled code depends on: the processor, and the instructions that it, a hypervisor or a limit
    leaves. limits are those that are set, withheld the flags that they take, whether the processor has them or not.
    """

    name: str
    vendor: str
    flags: frozenset[str]
    identity: tuple[str, ...]
    limits: tuple[str, ...] = ()
    withheld: frozenset[str] = frozenset()


def this_processor() -> Processor:
    """Return the one that runs this process; with several kinds in one machine the first."""
    if sys.platform == "win32":
        found = from_windows(os.environ)
    elif sys.platform == "darwin":
        found = from_sysctl(sysctl())
    else:
        found = from_cpuinfo(first_block(), platform.machine())
    return limited(found, os.environ)


def limited(processor: Processor, variables: Mapping[str, str]) -> Processor:
    """Return a processor without what environment variables keep OpenVINO from; others than LEFT's are no limit."""
    limits = {name: variables[name].upper() for name in LIMITS if variables.get(name)}
    withheld = frozenset(flag for limit in limits.values() if limit in LEFT for flag in MATTER - LEFT[limit])
    said = tuple(f"{name}={value}" for name, value in limits.items())
    return processor._replace(
        flags=processor.flags - withheld, identity=processor.identity + said, limits=said, withheld=withheld
    )


def fast_formats(processor: Processor) -> set[str]:
    """Return number formats that a processor multiplies in faster than in fp32: `int8`, `bf16`.

    AVX-512 BF16 alone is not enough on Intel's: without AMX an encoding takes 1.65 times as long as in fp32, on AMD's
    half as long. int8 without VNNI gives the same masks, and was measured on no real machine without it. None where
    the system states no flags (Windows, macOS), nor on arm64, where OpenVINO has no bf16 and int8 was not measured.
    """
    formats = set()
    if processor.flags & VNNI:
        formats.add("int8")
    if "amx_bf16" in processor.flags or ("avx512_bf16" in processor.flags and processor.vendor == "AuthenticAMD"):
        formats.add("bf16")
    return formats


def from_cpuinfo(lines: Iterable[str], machine: str) -> Processor:
    """Take the lines about one processor in /proc/cpuinfo; there may be none.

    machine is the architecture that this process runs on. In a container for arm64 that is emulated on x86-64, the
    lines are about the host, whose instructions are not to be had.
    """
    entries = pairs(lines)
    flags = entries.get("flags" if machine in X86 else "Features", "").split()
    return Processor(
        entries.get("model name") or machine,
        entries.get("vendor_id", ""),
        frozenset(flags),
        (platform.system(), machine, *(f"{name}: {entries[name]}" for name in IDENTITY if name in entries)),
    )


def from_sysctl(lines: Iterable[str]) -> Processor:
    """Take lines of `sysctl machdep.cpu hw.optional`; there may be none."""
    entries = pairs(lines)
    name = entries.get("machdep.cpu.brand_string") or platform.machine()
    has = sorted(key for key, value in entries.items() if key.startswith("hw.optional.") and value != "0")
    return Processor(name, "", frozenset(), ("macOS", platform.machine(), name, *has))


def from_windows(variables: Mapping[str, str]) -> Processor:
    """Take environment variables. Python's `platform` would ask a service of Windows, which can take seconds."""
    machine = variables.get("PROCESSOR_ARCHITECTURE", "")
    name = variables.get("PROCESSOR_IDENTIFIER") or machine
    return Processor(name, name.rpartition(", ")[2], frozenset(), ("Windows", machine, name))


def pairs(lines: Iterable[str]) -> dict[str, str]:
    """Return names and values of lines with a colon between."""
    parts = (line.partition(":")[::2] for line in lines)
    return {name.strip(): value.strip() for name, value in parts if name.strip()}


def first_block() -> list[str]:
    """Return the lines of /proc/cpuinfo on the first processor; those on others are not read. None where it is not."""
    try:
        with CPUINFO.open(errors="replace") as file:
            return list(itertools.takewhile(str.strip, file))
    except OSError:
        return []


@functools.cache
def sysctl() -> list[str]:
    """Return what `sysctl` of macOS states; nothing where it cannot be run."""
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "machdep.cpu", "hw.optional"],
            capture_output=True, text=True, errors="replace", check=False, timeout=5,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()
