"""Npz cases packed into shards: a hundredth of a second a case to read, whatever the file system."""

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from repmedsam_infer.errors import CaseReadError, SetupError, UsageError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.io.case_files import find_cases
from repmedsam_train.data.labelled import SIDE, read_labelled, reduced
from repmedsam_train.data.packing.encoding import encoded
from repmedsam_train.data.packing.shards import SHARD, find_shards
from repmedsam_train.data.split import GROUPS, read_groups

ORDER = 0  # seed of the order of cases
AT_ONCE = 64  # cases that are read and encoded before the first of them is written


@dataclass(frozen=True)
class Packed:
    """cases: how many were packed. shards: the files. failed: of each case that could not be read why."""

    cases: int
    shards: list[Path]
    failed: list[str]


def pack(
    folder: Path,
    out: Path,
    most_mb: float = 64,
    side: int = SIDE,
    quality: int | None = None,
    *,
    threads: int = 2,
    say: Callable[[str], None] = lambda _: None,
) -> Packed:
    """Write the npz cases of `folder` as shards of at most `most_mb` MB into `out`; a case larger than that is a shard
    of its own. `groups.csv`, if there is one, goes along.

    Cases longer than `side` pixels are reduced, which cannot be undone: pixels by area, labels by the nearest centre.
    Otherwise pixels stay as they are, unless `quality` is given: that of WebP, from 1 to 100, which loses detail.
    Labels never do. Cases come in an order drawn once for all, so that each shard holds some of everything. The same
    cases give the same bytes, with the same version of OpenCV.

    A case that cannot be read is left out, said and named.

    Raises:
        UsageError: there are no cases, `out` already holds shards, or an option makes no sense.
        SetupError: the shards cannot be written.

    """
    if most_mb <= 0 or side < 1 or not (quality is None or 1 <= quality <= 100):
        raise UsageError("sizes have to be positive, and a quality is from 1 to 100")
    if find_shards(out):
        raise UsageError(f"{out} already holds shards; name another folder")
    groups = read_groups(folder / GROUPS)
    paths = find_cases(folder)
    paths = [paths[i] for i in np.random.default_rng(ORDER).permutation(len(paths))]
    failed: list[str] = []

    def files(path: Path) -> list[tuple[str, bytes]]:
        case = reduced(read_labelled(path), side)
        contents = encoded(case, groups.get(path.name, path.name.removesuffix(".npz")), quality)
        key = path.stem.replace("%", "%25").replace(".", "%2E")  # what readers take for the name ends at the first dot
        return [(key + kind, content) for kind, content in contents.items()]

    def cases() -> Iterator[list[tuple[str, bytes]]]:
        with ThreadPoolExecutor(threads) as executor:
            for first in range(0, len(paths), AT_ONCE):
                for job in [executor.submit(partial(files, path)) for path in paths[first : first + AT_ONCE]]:
                    try:
                        yield job.result()
                    except CaseReadError as error:
                        failed.append(str(error))
                        say(f"left out: {error}")

    try:
        out.mkdir(parents=True, exist_ok=True)
        shards, count = write_shards(out, cases(), int(most_mb * 1e6))
    except OSError as error:
        raise SetupError(f"shards cannot be written into {out}: {error}") from error
    return Packed(count, shards, failed)


def write_shards(out: Path, cases: Iterable[list[tuple[str, bytes]]], most: int) -> tuple[list[Path], int]:
    """Write shards of at most `most` bytes; returns them, and how many cases they hold."""
    shards: list[Path] = []
    waiting: list[list[tuple[str, bytes]]] = []
    size = count = 0

    def write() -> None:
        path = out / f"shard-{len(shards):06}{SHARD}"
        write_atomic(path, tar_of(file for case in waiting for file in case))
        shards.append(path)
        waiting.clear()

    for case in cases:
        bytes_of_case = sum(tar_bytes(len(content)) for _, content in case)
        if waiting and size + bytes_of_case + tarfile.RECORDSIZE > most:
            write()
            size = 0
        waiting.append(case)
        size += bytes_of_case
        count += 1
    if waiting:
        write()
    return shards, count


def tar_bytes(size: int) -> int:
    """Return what a file of `size` bytes takes in a tar, with a header and filled up to whole blocks."""
    return tarfile.BLOCKSIZE * (1 - -size // tarfile.BLOCKSIZE)


def tar_of(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a tar of files by name; no times, no owners: the same files give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
