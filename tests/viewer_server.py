"""A real `repmedsam serve` for tests, started as a person starts it."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.app_server import started

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
    with started("serve", "--port", "0", "--precision", precision, *arguments, says=ADDRESS) as (process, found):
        yield ViewerServer(int(found.group(1)), process)
