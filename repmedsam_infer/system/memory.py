"""How much memory this process may still take, so that what does not fit is refused before it is read.

A process that takes more is killed by the system, and what it would have done after that is lost, too.
"""

import os
from pathlib import Path

from repmedsam_infer.errors import CaseReadError

MEMINFO = Path("/proc/meminfo")  # kB
STATM = Path("/proc/self/statm")  # pages
CGROUP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # version 1 of cgroups writes "no limit" as a number of about 2^63
UNCHECKED = 64 << 20  # bytes that are not worth a check


def check_fits(name: str, needed: int) -> None:
    """Check that this process can take `needed` bytes more.

    Raises:
        CaseReadError: it cannot; `name` is what the sentence calls the case.

    """
    if needed < UNCHECKED:
        return
    free = available_bytes()
    if free is not None and needed > free:
        raise CaseReadError(
            f"{name}: needs about {gibibytes(needed)} of memory, and {gibibytes(free)} are free; "
            "give the process or container more, or cut the image"
        )


def gibibytes(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 100 << 20 else f"{count / 2**20:,.0f} MiB"


def available_bytes() -> int | None:
    """Return the least that the machine, the control groups (containers, batch systems) and limits of this process
    leave; None where the system states none of it (Windows, macOS).
    """
    known = [free for free in (machine(), *control_groups(), *process_limits()) if free is not None]
    return max(0, min(known)) if known else None


def machine() -> int | None:
    for line in lines(MEMINFO):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def control_groups() -> list[int]:
    """Of this process's group and of each group above it that sets a limit."""
    found = []
    for line in lines(CGROUP):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, usage = MOUNT, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, usage = MOUNT / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        # In a container the path may be that on the host, which is not there: its own group is the root then.
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            free = left_in(folder, limit, usage)
            if free is not None:
                found.append(free)
    return found


def left_in(group: Path, limit: str, usage: str) -> int | None:
    """Bytes up to a group's limit; pages of files that it holds can be taken back, and count as free."""
    most, used = number(group / limit), number(group / usage)
    if most is None or used is None or most >= UNLIMITED:
        return None
    stat = dict(line.split()[:2] for line in lines(group / "memory.stat") if len(line.split()) > 1)
    files = stat.get("total_inactive_file", stat.get("inactive_file", "0"))
    return most - used + (int(files) if files.isdecimal() else 0)


def process_limits() -> list[int]:
    """Of address space (`ulimit -v`) and data (`ulimit -d`)."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    found = []
    pages = next(iter(lines(STATM)), "").split()
    for which, column in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
        soft = resource.getrlimit(which)[0]
        if soft != resource.RLIM_INFINITY and len(pages) > column:
            found.append(soft - int(pages[column]) * os.sysconf("SC_PAGE_SIZE"))
    return found


def lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeError):
        return []


def number(path: Path) -> int | None:
    text = next(iter(lines(path)), "").strip()
    return int(text) if text.isdecimal() else None
