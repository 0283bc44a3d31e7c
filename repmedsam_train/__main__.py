"""`python -m repmedsam_train`."""

from repmedsam_train.cli import main

main()
