"""How many cases an hour a machine does, in several ways of using its cores: python -m tests.throughput CASES.

Nothing else should run. Ways take turns; medians of all rounds are shown. CASES: a folder of npz cases.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from repmedsam_infer.io.case_files import find_cases, is_volume_name
from repmedsam_infer.system.threads import available_threads


class Way(NamedTuple):
    """processes at once, each of one shard with so many threads and cases at a time."""

    name: str
    processes: int
    threads: int
    jobs: int


class Measured(NamedTuple):
    """Of all processes together: seconds from start to end, seconds of processors, peaks of their memory in MiB."""

    seconds: float
    processor: float
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=120, help="cases of a kind; volumes a fifth of that")
    chosen = parser.parse_args()
    paths = find_cases(chosen.cases)
    kinds = {"pictures": paths_of(paths, chosen.most, volumes=False)}
    kinds["volumes"] = paths_of(paths, chosen.most // 5, volumes=True)
    cores = available_threads()
    ways = [
        Way("one process of 1 thread", 1, 1, 1),
        Way(f"one process of {cores} threads", 1, cores, 1),
        Way(f"one process of {cores} threads, --jobs {cores}", 1, cores, cores),
        Way(f"{cores} processes of 1 thread (--shard)", cores, 1, 1),
    ]
    show("| cases | way | cases an hour | an hour and core | processor seconds a case | MiB |")
    show("| --- | --- | ---: | ---: | ---: | ---: |")
    for kind, some in kinds.items():
        if some:
            measure_kind(kind, some, ways, chosen.rounds)


def show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def paths_of(paths: list[Path], most: int, *, volumes: bool) -> list[Path]:
    """Return at most so many, evenly out of all."""
    kind = [path.absolute() for path in paths if is_volume_name(path.name) == volumes]
    return [kind[i * len(kind) // most] for i in range(most)] if len(kind) > most else kind


def measure_kind(kind: str, paths: list[Path], ways: list[Way], rounds: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        manifest = Path(scratch, "cases.jsonl")
        manifest.write_text("\n".join(json.dumps({"image": str(path)}) for path in paths), encoding="utf-8")
        measured: dict[str, list[Measured]] = {way.name: [] for way in ways}
        for round_ in range(rounds + 1):  # the first fills the caches
            for way in ways:
                measured[way.name] += [measure(manifest, Path(scratch, f"{round_}{way.name}"), way)]
    for way in ways:
        seconds, processor, memory = (statistics.median(values) for values in zip(*measured[way.name][1:], strict=True))
        an_hour = len(paths) / seconds * 3600
        cores = way.processes * way.threads
        show(
            f"| {len(paths)} {kind} | {way.name} | {an_hour:.0f} | {an_hour / cores:.0f} | "
            f"{processor / len(paths):.3f} | {memory:.0f} |",
        )


def measure(manifest: Path, outputs: Path, way: Way) -> Measured:
    command = [sys.executable, "-m", "repmedsam_infer", "predict", "-i", str(manifest), "-o", str(outputs)]
    options = ["--threads", str(way.threads), "--jobs", str(way.jobs)]
    start = time.perf_counter()
    running = [
        subprocess.Popen(
            [*command, *options, "--shard", f"{i}/{way.processes}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for i in range(1, way.processes + 1)
    ]
    ended = [os.wait4(process.pid, 0) for process in running]
    seconds = time.perf_counter() - start
    if any(status for _, status, _ in ended):
        sys.exit(f"{way.name}: a process failed")
    processor = sum(usage.ru_utime + usage.ru_stime for _, _, usage in ended)
    return Measured(seconds, processor, sum(usage.ru_maxrss for _, _, usage in ended) / 1024)


if __name__ == "__main__":
    main()
