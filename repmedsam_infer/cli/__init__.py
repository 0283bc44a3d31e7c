"""The command line. Everything heavy is imported inside the command that needs it, so that --help is instant."""

from repmedsam_infer.cli import measuring, segmenting, serving  # each adds its commands
from repmedsam_infer.cli.root import app, main, program

__all__ = ["app", "main", "measuring", "program", "segmenting", "serving"]
