"""The command itself: what it is for, its version, errors and exit codes."""

import sys
from typing import Annotated

import typer

from repmedsam_infer import __version__
from repmedsam_infer.errors import RepMedSAMError

EXIT_CODES = "Exit codes: 0 all well; 1 some case failed; 2 wrong usage; 3 weights or environment."

PURPOSE = "Segment what boxes mark on medical images, on an ordinary CPU. For research, not for diagnosis."

app = typer.Typer(
    name="repmedsam",
    help=f"{PURPOSE}\n\n{EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def version(*, value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    *,
    _: Annotated[
        bool, typer.Option("--version", "-V", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every error of ours becomes one line and its exit code."""
    try:
        app()
    except RepMedSAMError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
