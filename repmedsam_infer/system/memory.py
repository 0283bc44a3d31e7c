"""How much memory this process may still take, so that what does not fit is refused before it is read.

A process that takes more is killed by the system, and what it would have done after that is lost, too.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from repmedsam_infer.errors import CaseTooLargeError

MEMINFO = Path("/proc/meminfo")  # kB
STATM = Path("/proc/self/statm")  # pages
CGROUP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # version 1 of cgroups writes "no limit" as a number of about 2^63
UNCHECKED = 64 << 20  # bytes that are not worth a check


class Promised:
    """What cases that run at once were granted, as memory is taken some time after it is checked.

    by_thread: bytes granted to the case of each thread.
    left: bytes that will be free when all of them have taken theirs; None while there are none.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_thread: dict[int, int] = {}
        self.left: int | None = None

    def grant(self, needed: int) -> int | None:
        """Grant `needed` bytes to this thread's case; returns what is free where that is less, else None."""
        with self.lock:
            me = threading.get_ident()
            if me in self.by_thread:
                self._take_back(self.by_thread[me])
                self.by_thread[me] = 0
            free = available_bytes()
            if free is None:
                return None
            if self.left is not None:
                # If no other case had taken anything yet; `left` may stem from a moment when others had little.
                least = free - sum(self.by_thread.values())
                free = min(free, max(self.left, least))
            if needed > free:
                return max(0, free)
            if me in self.by_thread:
                self.by_thread[me] = needed
                self.left = free - needed
            return None

    def take(self, needed: int) -> None:
        """Count `needed` bytes as granted to this thread, whether they are free or not."""
        if self.grant(needed) is not None:
            with self.lock:
                self.by_thread[threading.get_ident()] = needed
                self.left = 0

    @contextlib.contextmanager
    def one_case(self) -> Iterator[None]:
        me = threading.get_ident()
        with self.lock:
            self.by_thread[me] = 0
        try:
            yield
        finally:
            with self.lock:
                self._take_back(self.by_thread.pop(me))
                if not self.by_thread:
                    self.left = None

    def _take_back(self, granted: int) -> None:
        if self.left is not None:
            self.left += granted


promised = Promised()
one_case = promised.one_case  # what a thread checks within it counts for other threads until its end


@contextlib.contextmanager
def taking(needed: int) -> Iterator[None]:
    """Within the block this thread takes `needed` bytes, little by little: other threads' cases have to leave them."""
    with one_case():
        promised.take(needed)
        yield


def check_fits(name: str, needed: int) -> None:
    """Check that this process can take `needed` bytes more, besides what other threads' cases were granted.

    Raises:
        CaseTooLargeError: it cannot; `name` is what the sentence calls the case.

    """
    if needed < UNCHECKED:
        return
    free = promised.grant(needed)
    if free is not None:
        raise CaseTooLargeError(
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
