"""Slices of a volume by all engines that work together, their results in order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from repmedsam_infer.engines import Engine
from repmedsam_infer.stopwatch import Stopwatch

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2  # results for each engine that may wait to be taken: memory does not grow with the depth


def all_together(
    do: Callable[[Item, Engine, Stopwatch], Result], items: Sequence[Item], engine: Engine, watch: Stopwatch
) -> Iterator[Result]:
    """`do` of every item, in order, as many at a time as engines work together; each adds its share to `watch`."""
    crew = engine.together
    if len(crew) == 1:
        for item in items:
            yield do(item, engine, watch)
        return
    free: SimpleQueue[tuple[Engine, Stopwatch]] = SimpleQueue()
    watches = [Stopwatch() for _ in crew]
    for pair in zip(crew, watches, strict=True):
        free.put(pair)

    def with_a_free_one(item: Item) -> Result:
        one, its_watch = free.get()
        try:
            return do(item, one, its_watch)
        finally:
            free.put((one, its_watch))

    pool = ThreadPoolExecutor(len(crew))
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(with_a_free_one, item))
            if len(waiting) > AHEAD * len(crew):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        for its_watch in watches:
            watch.add(its_watch, 1 / len(crew))
