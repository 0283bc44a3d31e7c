"""The command itself: what it is for, its version, errors and exit codes."""

import sys
from typing import Annotated

import typer

from repmedsam_infer import __version__
from repmedsam_infer.errors import EXIT_OK, EXIT_USAGE
from repmedsam_infer.system.process import end_process, exit_code_of

EXIT_CODES = (
    "Exit codes: 0 all well; 1 some case failed; 2 wrong usage; 3 weights or environment; 129, 130, 143 ended by "
    "SIGHUP, SIGINT (Ctrl-C), SIGTERM."
)

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
    """Run the command line, and exit; whatever ends it becomes one line and its exit code."""
    sys.exit(exit_code_of(command_line))


def program() -> None:
    """Run the command line as the whole of a process."""
    end_process(command_line)


def command_line() -> int:
    """Return the exit code of what was asked for."""
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else EXIT_USAGE
    return EXIT_OK
