"""What `repmedsam serve` does: viewers that speak nnInteractive's protocol get masks of boxes."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from repmedsam_infer.commands.networks import Networks
from repmedsam_infer.errors import EXIT_OK, SetupError, UsageError
from repmedsam_infer.system.listening import is_loopback, listen

if TYPE_CHECKING:
    import uvicorn

INSTALL = "repmedsam serve needs more packages: pip install 'repmedsam[serve]' (in a clone: pip install '.[serve]')"


@dataclass(frozen=True)
class ServeOptions:
    """Options as of `repmedsam serve`.

    key: what every client has to send; None on loopback alone.
    sessions: clients at a time, at most.
    idle, liveness: seconds after which a session is over.
    window: of grey levels; None for what suits each image.
    """

    host: str = "127.0.0.1"
    port: int = 1527
    key: str | None = None
    sessions: int = 2
    idle: float = 3600.0
    liveness: float = 60.0
    window: str | None = None
    precision: str = "auto"
    threads: int = 0
    weights: Path | None = None


def run_server(options: ServeOptions) -> int:
    """Serve until it is interrupted; returns the exit code.

    Raises:
        UsageError: the address cannot be listened on, or can be reached by others and has no key.
        SetupError: what serves is not installed, or the weights are missing.

    """
    networks = Networks(options.precision, options.threads, options.weights)
    with viewers_server(options, networks) as (server, listening):
        typer.echo(f"RepMedSAM: viewers connect to http://{options.host}:{listening.getsockname()[1]}")
        for volumes in (True, False):  # loaded before the first image, not with it
            networks(volumes=volumes)
        server.run([listening])
    return EXIT_OK


@contextmanager
def viewers_server(options: ServeOptions, networks: Networks) -> "Iterator[tuple[uvicorn.Server, socket.socket]]":
    """Make the server, and the socket that it is to run on; networks may be those of another server of this process.

    Raises:
        UsageError, SetupError: as `run_server`.

    """
    if not is_loopback(options.host) and not options.key:
        raise UsageError(
            f"{options.host} can be reached by others: give a key (--api-key), which every viewer has to send"
        )
    try:
        from repmedsam_infer.commands.http_server import http_server
        from repmedsam_infer.serve.api import make_api
    except ImportError as error:
        raise SetupError(f"{INSTALL} ({error.name} is missing)") from error
    from repmedsam_infer.engines.engine import Engine
    from repmedsam_infer.formats.intensity import parse_window
    from repmedsam_infer.serve.entrance import Entrance
    from repmedsam_infer.serve.leases import Leases
    from repmedsam_infer.serve.prompted_volume import PromptedVolume

    window = None if options.window is None else parse_window(options.window)

    def engine(*, volumes: bool) -> Engine:
        return networks(volumes=volumes).shared(urgent=True)

    leases = Leases(lambda: PromptedVolume(engine, window), options.sessions, options.idle, options.liveness)
    with listen(options.host, options.port) as listening:
        yield http_server(make_api(leases, Entrance(options.key, loopback=is_loopback(options.host)))), listening
