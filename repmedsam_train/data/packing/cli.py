"""The command that packs cases. Heavy imports happen inside it."""

from pathlib import Path
from typing import Annotated

import typer

from repmedsam_infer.errors import EXIT_CASE_FAILED


def pack(
    data: Annotated[Path, typer.Argument(help="Folder of npz cases (imgs, gts), with groups.csv if there is one.")],
    out: Annotated[Path, typer.Argument(help="Folder for the shards; it must not hold any yet.")],
    max_mb: Annotated[float, typer.Option(help="MB of a shard, at most.")] = 64,
    side: Annotated[int | None, typer.Option(help="Longest side that cases are reduced to; else 352 pixels.")] = None,
    quality: Annotated[
        int | None, typer.Option(help="Of WebP, from 1 to 100, which loses detail; without it nothing is lost.")
    ] = None,
) -> None:
    """Pack npz cases into shards (tar), which training reads faster, and which need not fit into memory.

    Pixels and labels stay as they are, but for cases longer than --side, which are reduced, and for pixels with
    --quality. Cases that cannot be read are named and left out; the exit code is 1 then.

    Example: repmedsam-train pack data/train packed/train
    """
    from repmedsam_infer.system.threads import available_threads
    from repmedsam_train.data.labelled import SIDE
    from repmedsam_train.data.packing.pack import pack as run

    def say(message: str) -> None:
        typer.echo(message, err=True)

    done = run(data, out, max_mb, SIDE if side is None else side, quality, threads=available_threads(), say=say)
    size = sum(shard.stat().st_size for shard in done.shards) / 1e6
    typer.echo(f"{done.cases} cases in {len(done.shards)} shards of {size:.1f} MB; {len(done.failed)} left out")
    if done.failed:
        raise typer.Exit(EXIT_CASE_FAILED)
