"""The command in a process of its own: for signals, limits, and streams that are closed or full."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fuzz.trial import Outcome

ROOT = Path(__file__).parent.parent.parent
KILLED_AFTER = 120.0  # seconds
CLOSED = "&-"


class Program:
    """A command that runs in `folder`; what it prints goes to files beside it, or where `streams` leads."""

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        *,
        limits: str = "",
        streams: Mapping[int, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            folder: its current folder.
            arguments: of the command, without the program's name.
            limits: options of the shell's ulimit.
            streams: for 1 (stdout) or 2 (stderr) a path, or CLOSED.
            environment: more variables.

        """
        variables = {name: value for name, value in os.environ.items() if not name.startswith("REPMEDSAM_")}
        variables |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder.parent / "home")}
        variables |= environment or {}
        self.paths = [folder.parent / f"{name}.{id(self)}" for name in ("stdout", "stderr")]
        places = {number: shlex.quote(str(path)) for number, path in enumerate(self.paths, 1)} | dict(streams or {})
        script = f'{limits and f"ulimit {limits} || exit 99; "}exec "$@"'
        script += "".join(f" {number}>{place}" for number, place in places.items())
        command = ["sh", "-c", script, "sh", sys.executable, "-m", "repmedsam_infer", *arguments]
        self.began = time.perf_counter()
        self.process = subprocess.Popen(command, cwd=folder, env=variables, stdin=subprocess.DEVNULL)

    def wait(self, *, at_most: float = KILLED_AFTER) -> Outcome:
        """Wait until it ends; kill it where that takes too long."""
        code: int | None
        try:
            code = self.process.wait(at_most)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = None
        seconds = time.perf_counter() - self.began
        out, err = (path.read_bytes() if path.exists() else b"" for path in self.paths)
        for path in self.paths:
            path.unlink(missing_ok=True)
        return Outcome(code, out, err, seconds, seconds)

    def wait_for(self, path: Path, seconds: float = 60) -> None:
        """Wait until there is a file, or the program has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None and not path.exists():
            time.sleep(0.01)

    def send(self, which: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(which)
