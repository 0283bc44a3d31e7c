"""The option --shard: what it means here, in an array job or outside."""

import os
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from repmedsam_infer.shards.shard import Shard


def find_shard(given: str | None) -> "Shard | None":
    """Return the shard that is meant, None for every case; say so where the user did not name it."""
    from repmedsam_infer.shards.array_job import choose_shard

    shard, variable = choose_shard(given, os.environ)
    if variable:
        typer.echo(f"note: {variable} is set: only shard {shard} is done (--shard all for every case)", err=True)
    return shard
