"""How quick `repmedsam serve` is, and whether it leaks: python -m tests.serve_speed (make serve-speed)."""

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.viewer_server import serving

DEPTH, SIDE = 300, 512
CLIENTS, INTERACTIONS = 4, 1008


def main() -> None:
    rows = [*once(), *soak()]
    table = ["| | measured |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows)]
    sys.stdout.write("\n".join(table) + "\n")


def large() -> "np.ndarray[Any, np.dtype[np.float32]]":
    """A CT of 300 slices with an organ over 100 of them, in whole Hounsfield units, with noise."""
    z, y, x = np.ogrid[:DEPTH, :SIDE, :SIDE]
    body = ((x - 256) / 230) ** 2 + ((y - 256) / 180) ** 2 < 1
    organ = ((x - 180) / 70) ** 2 + ((y - 240) / 60) ** 2 + ((z - 150) / 50) ** 2 < 1
    noise = np.rint(np.random.default_rng(0).normal(0, 10, (SIDE, SIDE))).astype(np.float32)
    return np.where(organ, np.float32(150), np.where(body, np.float32(20), np.float32(-1000))) + noise


def once() -> Iterator[tuple[str, str]]:
    from nnInteractive.inference.remote import nnInteractiveRemoteInferenceSession

    image = large()
    with serving(precision="auto") as server, nnInteractiveRemoteInferenceSession(server.url) as session:
        times = [timed(lambda: session.set_image(image[None], {"spacing": [1.5, 0.8, 0.8]})) for _ in range(3)]
        yield f"set_image, {SIDE} x {SIDE} x {DEPTH}, float32", f"{statistics.median(times):.2f} s"
        session.set_target_buffer(np.zeros(image.shape, np.uint8))
        took = timed(lambda: session.add_bbox_interaction([[150, 151], [180, 301], [110, 251]], True))
        slices = int(session.target_buffer.any((1, 2)).sum())
        yield f"a 2D box to its object through {slices} slices, none encoded before", f"{took:.1f} s"
        session.reset_interactions()
        took = timed(lambda: session.add_bbox_interaction([[150, 151], [182, 301], [110, 251]], True))
        yield "another box there", f"{took:.1f} s"
        yield "memory of the server with this image, at most", f"{memory(server.process.pid, 'VmHWM') / 2**30:.2f} GiB"
        session.set_image(image[None, 150:151])
        session.set_target_buffer(np.zeros((1, SIDE, SIDE), np.uint8))
        boxes = [[[0, 1], [180 + i, 301], [110, 251]] for i in range(8)]
        times = [timed(lambda box=box: session.add_bbox_interaction(box, True)) for box in boxes]  # type: ignore[misc]
        yield (
            "a 2D box on one slice alone: the first, later ones",
            f"{times[0]:.2f} s, {statistics.median(times[1:]):.2f} s",
        )


def soak() -> Iterator[tuple[str, str]]:
    """Many boxes from several clients at once, on small volumes."""
    from nnInteractive.inference.remote import nnInteractiveRemoteInferenceSession

    image = large()[130:170:4, ::4, ::4].copy()
    done: list[bool] = []

    def work(seed: int, url: str, count: int) -> None:
        rng = np.random.default_rng(seed)
        with nnInteractiveRemoteInferenceSession(url) as session:
            session.set_image(image[None])
            session.set_target_buffer(np.zeros(image.shape, np.uint8))
            for i in range(count):
                x, y = rng.integers(20, 40, 2).tolist()
                session.add_bbox_interaction([[i % 10, i % 10 + 1], [y, y + 45], [x, x + 45]], True)
                done.append(bool(session.target_buffer.any()))
                session.reset_interactions()

    with serving("--max-sessions", CLIENTS, precision="auto") as server:
        sizes = []
        began = time.perf_counter()
        for part in range(4):
            threads = [
                threading.Thread(target=work, args=(part * 10 + i, server.url, INTERACTIONS // CLIENTS // 4))
                for i in range(CLIENTS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            sizes.append(memory(server.process.pid, "VmRSS"))
        took = time.perf_counter() - began
    yield f"{len(done)} boxes from {CLIENTS} clients, masks that were empty", f"{done.count(False)}"
    yield "boxes a second", f"{len(done) / took:.1f}"
    yield "memory after each quarter of them", ", ".join(f"{size / 2**20:.0f}" for size in sizes) + " MiB"


def timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def memory(pid: int, what: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text() if Path(f"/proc/{pid}").exists() else ""
    line = next((line for line in status.splitlines() if line.startswith(what)), f"{what}: 0 kB")
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
