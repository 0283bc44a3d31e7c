"""The command that opens the page in the browser."""

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
    *,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Draw boxes and see their masks: a page in your browser, served by this machine to itself.

    What you draw is kept at every change, and is there again the next time. End with ctrl+c.

    Example: repmedsam app ct.nii.gz
    """
    from repmedsam_infer.commands.app import AppOptions, run_app

    run_app(AppOptions(inputs or (), host, port, keep, browser, zoom, precision, threads, weights))
