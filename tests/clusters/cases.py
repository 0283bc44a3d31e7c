"""Small drawn cases, runs of them by the program as it is started on a node, and what must hold of their results."""

import csv
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from repmedsam_infer.boxes import tight_boxes
from repmedsam_infer.evaluation.phantoms import draw_ultrasound
from repmedsam_infer.io.npz import write_npz

ROOT = Path(__file__).parents[2]
OPTIONS = ("--precision", "fp32", "--zoom", "off")  # the same on every processor, and quick
PATIENCE = 60.0  # seconds, of what takes a few


def draw_cases(folder: Path, count: int) -> None:
    """Write so many pictures of 256 x 256 pixels with two boxes each."""
    folder.mkdir()
    for number in range(count):
        imgs, gts, _ = draw_ultrasound(np.random.default_rng([2026, number]))
        write_npz(folder / f"2DBox_US_{number:04d}.npz", imgs=imgs, gts=gts, boxes=tight_boxes(gts))


def install(folder: Path) -> None:
    """Write `repmedsam` into the folder: this Python with this code."""
    folder.mkdir()
    program = folder / "repmedsam"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m repmedsam_infer "$@"\n')
    program.chmod(0o755)


def running(segs: Path, shard: str = "") -> Iterator[int]:
    """Processes of the program that write to `segs`; of one shard, as 3/4, if that is named."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended
                continue
            wanted = [b"repmedsam_infer", os.fsencode(segs), *([shard.encode()] if shard else [])]
            if all(word in words for word in wanted):
                yield int(entry.name)


def pause(segs: Path, shard: str) -> int:
    """Halt the program in the midst of a shard, after its first case; return its process."""
    journal = segs / f"report.{shard.replace('/', '-of-')}.jsonl"
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if journal.exists() and journal.read_bytes().strip():
            (process,) = running(segs, shard)
            os.kill(process, signal.SIGSTOP)
            assert journal.exists(), "the shard was done before it could be halted"
            return process
        time.sleep(0.005)
    raise AssertionError(f"shard {shard} did no case in {PATIENCE:.0f} s")


def end_all(segs: Path) -> None:
    """Kill all that writes to `segs`."""
    for process in running(segs):
        os.kill(process, signal.SIGKILL)


def results(segs: Path) -> dict[str, bytes]:
    """Label maps by name."""
    return {path.name: path.read_bytes() for path in segs.glob("*.npz")}


def when_written(segs: Path) -> dict[str, int]:
    """When each label map was written, in ns."""
    return {path.name: path.stat().st_mtime_ns for path in segs.glob("*.npz")}


def check_whole(segs: Path, expected: Path) -> None:
    """Every case is there once, and is bit for bit what one run in one process made; nothing is left behind."""
    assert results(segs) == results(expected)
    labels, expected_labels = ((folder / "labels.csv").read_text().splitlines() for folder in (segs, expected))
    assert labels[0] == expected_labels[0]
    assert sorted(labels) == sorted(expected_labels)  # shard by shard
    report = json.loads((segs / "report.json").read_text())
    assert sorted(case["case"] for case in report["cases"]) == sorted(results(expected))
    assert report["counts"]["failed"] == 0
    with (segs / "efficiency.csv").open() as table:
        assert sorted(row["case"] for row in csv.DictReader(table)) == sorted(results(expected))
    assert not [path for path in segs.rglob("*") if path.suffix in (".jsonl", ".part")]
