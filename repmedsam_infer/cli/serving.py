"""Commands that serve: the page in the browser, and viewers."""

from pathlib import Path
from typing import Annotated

import typer

from repmedsam_infer.cli.root import app
from repmedsam_infer.commands import options as opt


@app.command("app")
def app_command(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(help="Images, or folders of them; more can be opened in the page.", show_default=False),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; all but loopback can be reached by others.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: one that is free.")] = 0,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where what is drawn is kept, if not in your own folder.")
    ] = None,
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    weights: opt.Weights = None,
    zoom: opt.Zoom = "auto",
    viewers_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve viewers as well, as `repmedsam serve` does, on this port."),
    ] = None,
    *,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Draw boxes and see their masks: a page in your browser, served by this machine to itself.

    What you draw is kept at every change, and is there again the next time. End with ctrl+c.

    Example: repmedsam app ct.nii.gz
    """
    from repmedsam_infer.commands.app import AppOptions, run_app

    run_app(AppOptions(inputs or (), host, port, keep, browser, viewers_port, zoom, precision, threads, weights))


@app.command("serve")
def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on; all but loopback need a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: one that is free.")] = 1527,
    api_key: Annotated[
        str | None, typer.Option(envvar="NN_INTERACTIVE_API_KEY", help="What every viewer has to send.")
    ] = None,
    max_sessions: Annotated[int, typer.Option(min=1, max=64, help="Viewers at a time.")] = 2,
    idle_timeout_seconds: Annotated[
        float, typer.Option(min=1, help="Without anything that its user does, a session ends after this time.")
    ] = 3600,
    liveness_timeout_seconds: Annotated[
        float, typer.Option(min=1, help="Without any sign of its viewer, a session ends after this time.")
    ] = 60,
    window: opt.Window = None,
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    weights: opt.Weights = None,
) -> None:
    """Boxes in the viewers that speak nnInteractive's protocol: napari, 3D Slicer, MITK.

    They connect to http://127.0.0.1:1527, and get masks of 2D and 3D boxes. End with ctrl+c. See docs/viewers.md.

    Example: repmedsam serve
    """
    from repmedsam_infer.commands.serve import ServeOptions, run_server

    run_server(
        ServeOptions(
            host,
            port,
            api_key,
            max_sessions,
            idle_timeout_seconds,
            liveness_timeout_seconds,
            window,
            precision,
            threads,
            weights,
        )
    )
