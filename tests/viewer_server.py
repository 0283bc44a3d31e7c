"""A real `repmedsam serve` for tests, started as a person starts it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.app_server import DONE

ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class ViewerServer:
    port: int
    process: "subprocess.Popen[str]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(*arguments: object, precision: str = "fp32") -> Iterator[ViewerServer]:
    """`repmedsam serve ARGUMENTS` on a free port, until the block ends."""
    command = (sys.executable, "-m", "repmedsam_infer", "serve", "--port", "0", "--precision", precision)
    process = subprocess.Popen(
        [str(part) for part in (*command, *arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = ADDRESS.search(first)
        assert found is not None, first + process.stdout.read()
        yield ViewerServer(int(found.group(1)), process)
    finally:
        if process.poll() is None:
            process.terminate()
        with process:
            process.wait(DONE)
