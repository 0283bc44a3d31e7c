"""Who may use which engine: cases take turns with the engines of their kind, slices of a volume with its workers."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.system.memory import taking
from repmedsam_infer.system.stopwatch import Stopwatch

T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")
NETWORKS = 400 << 20  # bytes that loading takes
AHEAD = 2  # results for each worker that may wait to be taken: memory does not grow with the depth


class Lender(Generic[T]):
    """Things that are used by one thread at a time; who finds all of them lent waits."""

    def __init__(self, things: Sequence[T]) -> None:
        self.free: SimpleQueue[T] = SimpleQueue()
        for thing in things:
            self.free.put(thing)

    @contextmanager
    def lend(self) -> Iterator[T]:
        thing = self.free.get()
        try:
            yield thing
        finally:
            self.free.put(thing)


class EnginePool:
    """Engines for pictures and engines for volumes, each loaded when it is first needed, or begun with before.

    load_seconds: from when loading began until engines were there, all kinds together; other things are done meanwhile.
    """

    def __init__(self, load: Callable[[bool], Sequence[Engine]]) -> None:
        """`load(volumes)` gives the engines of a kind, to be used at the same time; what it raises is raised later."""
        self.load = load
        self.lock = threading.Lock()
        self.loaded: dict[bool, Sequence[Engine]] = {}
        self.lenders: dict[bool, Lender[Engine]] = {}
        self.begun: dict[bool, Future[Sequence[Engine]]] = {}
        self.load_seconds = 0.0

    @classmethod
    def holding(cls, engines: Mapping[bool, Sequence[Engine]]) -> "EnginePool":
        """Return a pool of engines that are loaded: `engines[True]` for volumes, `engines[False]` for pictures."""
        return cls(lambda volumes: engines[volumes])

    def begin(self, kinds: Sequence[bool]) -> None:
        """Load the engines of these kinds (`volumes`) one after the other, in a thread, while other things are done.

        What goes wrong is raised by `engines`.
        """
        thread = ThreadPoolExecutor(1)
        with self.lock:
            self.begun |= {volumes: thread.submit(self.load_apart, volumes=volumes) for volumes in kinds}
        thread.shutdown(wait=False)

    def give_up(self) -> None:
        """Wait for what is being loaded, so that nothing goes on behind whoever handles an error."""
        for future in self.begun.values():
            future.cancel()
        wait(self.begun.values())

    def load_apart(self, *, volumes: bool) -> Sequence[Engine]:
        with taking(NETWORKS):
            return self.timed_load(volumes=volumes)

    def timed_load(self, *, volumes: bool) -> Sequence[Engine]:
        start = time.perf_counter()
        engines = self.load(volumes)
        self.load_seconds += time.perf_counter() - start
        return engines

    def engines(self, *, volumes: bool) -> Sequence[Engine]:
        """Those for volumes or for pictures, loaded if they are not yet."""
        with self.lock:
            if volumes not in self.loaded:
                begun = self.begun.pop(volumes, None)
                self.loaded[volumes] = self.timed_load(volumes=volumes) if begun is None else begun.result()
                self.lenders[volumes] = Lender(self.loaded[volumes])
            return self.loaded[volumes]

    @contextmanager
    def engine(self, *, volumes: bool) -> Iterator[Engine]:
        """One of them, for as long as the block lasts."""
        self.engines(volumes=volumes)
        with self.lenders[volumes].lend() as engine:
            yield engine


def run_in_workers(
    do: Callable[[Item, Engine, Stopwatch], Result], items: Sequence[Item], engine: Engine, watch: Stopwatch
) -> Iterator[Result]:
    """`do` of every item, in order, as many at a time as the engine has workers; each adds its share to `watch`."""
    workers = engine.workers
    if len(workers) == 1:
        for item in items:
            yield do(item, engine, watch)
        return
    watches = [Stopwatch(watch.on_stage) for _ in workers]
    lender = Lender(list(zip(workers, watches, strict=True)))

    def with_a_free_worker(item: Item) -> Result:
        with lender.lend() as (worker, its_watch):
            return do(item, worker, its_watch)

    pool = ThreadPoolExecutor(len(workers))
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(with_a_free_worker, item))
            if len(waiting) > AHEAD * len(workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        for its_watch in watches:
            watch.add(its_watch, 1 / len(workers))
