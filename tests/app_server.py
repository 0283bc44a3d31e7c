"""A real `repmedsam app` for tests: started as a person starts it, spoken to over its port."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINK = re.compile(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)")
DONE = 60.0  # seconds that a test waits, at most


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class App:
    """A running server. `headers` go with every request: those of a browser that has opened the link."""

    process: "subprocess.Popen[str]"
    link: str
    port: int
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    def open_link(self) -> None:
        """As a browser does: the cookie goes with every request from now on."""
        welcome = self.get(f"/?token={self.token}")
        assert welcome.status == 303
        cookie = welcome.headers["set-cookie"].partition(";")[0]
        self.headers = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{self.port}"}

    def ask(
        self,
        method: str,
        path: str,
        content: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send a request; `content` as JSON. A header that is None is left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DONE)
        wanted = {**self.headers, **(headers or {})}
        sent = {name: value for name, value in wanted.items() if value is not None}
        try:
            given = json.dumps(content).encode() if content is not None else body
            connection.request(method, path, given, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **more: Any) -> Answer:
        return self.ask("GET", path, **more)

    def post(self, path: str, content: Any = None, **more: Any) -> Answer:
        return self.ask("POST", path, content, **more)

    def cases(self) -> dict[str, str]:
        """Ids by name."""
        return {one["name"]: one["id"] for one in self.get("/api/cases").json["cases"]}

    def state(self, case: str) -> Any:
        return self.get(f"/api/cases/{case}/state").json

    def edit(self, case: str, do: str, **more: Any) -> Any:
        version = self.state(case)["version"]
        answer = self.post(f"/api/cases/{case}/edit", {"version": version, "edit": {"do": do, **more}})
        assert answer.status == 200, answer.body
        return answer.json

    def settled(self, case: str) -> Any:
        """State when all masks are there."""
        end = time.monotonic() + DONE
        while time.monotonic() < end:
            state = self.state(case)
            shown = state["labels"]["of"] == state["version"]
            if shown and all(one["status"] in ("ready", "failed") for one in state["objects"]):
                return state
            time.sleep(0.05)
        raise AssertionError(f"masks were not there in {DONE} s")

    def plane(self, case: str, kind: str, axis: str, index: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        answer = self.get(f"/api/cases/{case}/{kind}/{axis}/{index}")
        assert answer.status == 200, answer.body
        return np.frombuffer(answer.body, f"<{dtype}").reshape(shape)

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def started(*arguments: object, says: "re.Pattern[str]") -> "Iterator[tuple[subprocess.Popen[str], re.Match[str]]]":
    """`repmedsam ARGUMENTS` and what it `says` when it listens, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "repmedsam_infer", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if first.startswith("viewers"):  # on stderr, and before the link
            first = process.stdout.readline()
        found = says.search(first)
        assert found is not None, first + process.stdout.read()
        yield process, found
    finally:
        if process.poll() is None:
            process.terminate()
        with process:  # closes its pipe
            process.wait(DONE)


@contextmanager
def running(*arguments: object, keep: Path, precision: str = "fp32") -> Iterator[App]:
    """`repmedsam app ARGUMENTS`, until the block ends."""
    options = ("--no-browser", "--precision", precision, "--keep", keep)
    with started("app", *options, *arguments, says=LINK) as (process, found):
        app = App(process, found.group(0), int(found.group(1)), found.group(2))
        app.open_link()
        yield app
