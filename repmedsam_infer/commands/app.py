"""What `repmedsam app` does: a server for this machine alone, and the page of it in the browser."""

import contextlib
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from repmedsam_infer.commands.networks import Networks
from repmedsam_infer.commands.serve import ServeOptions, viewers_server
from repmedsam_infer.errors import EXIT_OK, RepMedSAMError, SetupError
from repmedsam_infer.system.listening import is_everywhere, is_loopback, listen

if TYPE_CHECKING:
    from repmedsam_infer.app.cases import Cases

INSTALL = "repmedsam app needs more packages: pip install 'repmedsam[app]' (in a clone: pip install '.[app]')"
READ_BY_ALL = (
    "anybody in the network who has this link can see the images, and the traffic is not encrypted: use it in a "
    "network that you trust"
)


@dataclass(frozen=True)
class AppOptions:
    """Options as of `repmedsam app`.

    host: address to listen on. port: 0 for a free one.
    keep: folder where what is drawn is kept; None for the user's own.
    browser: whether the page is opened.
    viewers_port: where viewers may connect as well (commands/serve.py), on loopback; None for nowhere.
    """

    inputs: Sequence[Path] = ()
    host: str = "127.0.0.1"
    port: int = 0
    keep: Path | None = None
    browser: bool = True
    viewers_port: int | None = None
    zoom: str = "auto"
    precision: str = "auto"
    threads: int = 0
    weights: Path | None = None


def run_app(options: AppOptions) -> int:
    """Serve the page until it is interrupted; returns the exit code.

    Raises:
        UsageError: an input is not there, or the address cannot be listened on.
        SetupError: what serves the page is not installed, or the weights are missing.

    """
    try:
        from repmedsam_infer.app.web.server import make_server
        from repmedsam_infer.commands.http_server import http_server
    except ImportError as error:
        raise SetupError(f"{INSTALL} ({error.name} is missing)") from error
    from repmedsam_infer.app.cases import Cases
    from repmedsam_infer.app.web.events import News
    from repmedsam_infer.app.web.gate import Door
    from repmedsam_infer.preprocess import check_zoom

    networks, news = Networks(options.precision, options.threads, options.weights), News()
    cases = Cases(options.inputs, options.keep or own_folder(), networks, check_zoom(options.zoom), news.tell)
    door = Door(loopback=is_loopback(options.host))
    with viewers_too(options, networks), listen(options.host, options.port) as listening:
        link = link_to(options.host, listening.getsockname()[1], door.token)
        typer.echo(f"RepMedSAM: open {link}")
        if not door.loopback:
            typer.echo(f"warning: {READ_BY_ALL}", err=True)
        threading.Thread(target=load_in_advance, args=(networks, cases), daemon=True).start()
        if options.browser:
            threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
        http_server(make_server(cases, news, door)).run([listening])
    return EXIT_OK


@contextmanager
def viewers_too(options: AppOptions, networks: Networks) -> Iterator[None]:
    """Have viewers served as well, by the same networks, for as long as the block lasts, if that is wanted."""
    if options.viewers_port is None:
        yield
        return
    with viewers_server(ServeOptions(port=options.viewers_port), networks) as (server, listening):
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        typer.echo(f"viewers connect to http://127.0.0.1:{listening.getsockname()[1]}", err=True)
        yield
        server.should_exit = True
        thread.join()


def link_to(host: str, port: int, token: str) -> str:
    """Return the link that opens the page."""
    shown = "127.0.0.1" if is_everywhere(host) else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/?token={token}"


def load_in_advance(networks: Networks, cases: "Cases") -> None:
    """Read the first image, while the browser starts: that loads its network, too."""
    first = next(iter(cases.listed), None)
    with contextlib.suppress(RepMedSAMError):
        if first is None:
            networks(volumes=False)
        else:
            cases.get(first)


def own_folder() -> Path:
    """Return where programs keep such things for this user."""
    from platformdirs import user_state_path

    return user_state_path("repmedsam", appauthor=False)
