"""News of open cases for the pages that show them, as server-sent events."""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

PAUSE = 0.08  # seconds between two events of one page, at least
SILENCE = 15.0  # seconds after which a comment is sent, so that a page that has gone is noticed
MOST_LISTENERS = 16


class News:
    """Who listens to which case."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.listeners: dict[str, set[Listener]] = defaultdict(set)

    def tell(self, case_id: str) -> None:
        """Wake the listeners of a case; from any thread."""
        with self.lock:
            listeners = list(self.listeners.get(case_id, ()))
        for listener in listeners:
            listener.wake()

    async def of(self, case_id: str, describe: Callable[[], dict[str, Any]]) -> AsyncIterator[bytes]:
        """Events of a case, beginning with how it is now, until the page goes away."""
        listener = Listener(asyncio.get_running_loop())
        with self.lock:
            self.listeners[case_id].add(listener)
        try:
            while True:
                yield f"data: {json.dumps(describe())}\n\n".encode()
                await asyncio.sleep(PAUSE)
                while not await listener.news():
                    yield b": nothing new\n\n"
        finally:
            with self.lock:
                self.listeners[case_id].discard(listener)

    def is_full(self) -> bool:
        """Whether there are as many listeners as there may be."""
        with self.lock:
            return sum(len(of_case) for of_case in self.listeners.values()) >= MOST_LISTENERS


class Listener:
    """One page that waits for news."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.event = asyncio.Event()

    def wake(self) -> None:
        """From any thread."""
        try:
            self.loop.call_soon_threadsafe(self.event.set)
        except RuntimeError:  # the server is ending
            return

    async def news(self) -> bool:
        """Wait for news; returns whether there are any."""
        try:
            await asyncio.wait_for(self.event.wait(), SILENCE)
        except TimeoutError:
            return False
        self.event.clear()
        return True
