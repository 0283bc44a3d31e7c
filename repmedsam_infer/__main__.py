"""`python -m repmedsam_infer`."""

from repmedsam_infer.cli import program

program()
