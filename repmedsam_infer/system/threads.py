"""How many threads this process may use: thread pools that count the host's processors are slow in a container."""

import math
import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "quota period" or "max period", microseconds
CFS_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")  # cgroup v1
CFS_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def available_threads() -> int:
    """Processors in this process's affinity, no more than its cgroup's quota rounded up; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = cgroup_quota()
    return max(1, min(count, math.ceil(quota)) if quota else count)


def cgroup_quota() -> float | None:
    """Processors' worth of time that the cgroup allows, or None where it sets no limit."""
    try:
        if CPU_MAX.exists():
            quota, period = CPU_MAX.read_text().split()
        else:
            quota, period = CFS_QUOTA.read_text().strip(), CFS_PERIOD.read_text().strip()
        return float(quota) / float(period) if quota != "max" and float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
