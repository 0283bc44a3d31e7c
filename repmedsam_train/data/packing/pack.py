"""Npz cases packed into shards: few files, which are smaller, and of which some can be in memory at a time."""

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from repmedsam_infer.errors import CaseReadError, SetupError, UsageError, printable
from repmedsam_infer.io.case_files import find_cases
from repmedsam_train.data.labelled import SIDE, read_labelled, reduced
from repmedsam_train.data.packing.encoding import encoded
from repmedsam_train.data.packing.shards import SHARD, UNFINISHED, find_shards
from repmedsam_train.data.split import GROUPS, own_group, read_groups
from repmedsam_train.data.stored_cases import has_files

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

    A case that cannot be read is left out, said and named. Shards get their names when all are written: what a stopped
    run leaves is hidden, and deleted by the next one.

    Raises:
        UsageError: there are no cases, `out` already holds shards or npz files, or an option makes no sense.
        SetupError: the shards cannot be written.

    """
    if most_mb <= 0 or side < 1 or not (quality is None or 1 <= quality <= 100):
        raise UsageError("sizes have to be positive, and a quality is from 1 to 100")
    if find_shards(out) or has_files(out):
        raise UsageError(f"{out} already holds shards, or npz files; name another folder")
    groups = read_groups(folder / GROUPS)
    paths = find_cases(folder)
    paths = [paths[i] for i in np.random.default_rng(ORDER).permutation(len(paths))]
    failed: list[str] = []

    def files(path: Path) -> list[tuple[str, bytes]]:
        case = reduced(read_labelled(path), side)
        contents = encoded(case, groups.get(path.name, own_group(path)), quality)
        key = path.stem.replace("%", "%25").replace(".", "%2E")  # what readers take for the name ends at the first dot
        return [(key + kind, content) for kind, content in contents.items()]

    def cases() -> Iterator[list[tuple[str, bytes]]]:
        with ThreadPoolExecutor(threads) as executor:
            for first in range(0, len(paths), AT_ONCE):
                some = paths[first : first + AT_ONCE]
                for path, job in zip(some, [executor.submit(partial(files, path)) for path in some], strict=True):
                    try:
                        yield job.result()
                    except (CaseReadError, MemoryError, cv2.error) as error:
                        failed.append(why(path.name, error))
                        say(f"left out: {failed[-1]}")

    try:
        out.mkdir(parents=True, exist_ok=True)
        delete_unfinished(out)
        shards, count = write_shards(out, cases(), int(most_mb * 1e6))
    except OSError as error:
        raise SetupError(f"shards cannot be written into {out}: {error}") from error
    return Packed(count, shards, failed)


def why(name: str, error: Exception) -> str:
    """Return in a line why a case is left out."""
    if isinstance(error, CaseReadError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{name}: does not fit into memory"
    return printable(f"{name}: its image cannot be reduced or encoded ({error})")


def write_shards(out: Path, cases: Iterable[list[tuple[str, bytes]]], most: int) -> tuple[list[Path], int]:
    """Write shards of at most `most` bytes; returns them, and how many cases they hold."""
    unfinished: list[Path] = []
    waiting: list[list[tuple[str, bytes]]] = []
    size = count = 0

    def write() -> None:
        path = out / f".shard-{len(unfinished):06}{SHARD}"
        path.write_bytes(tar_of(file for case in waiting for file in case))
        unfinished.append(path)
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
    return [path.rename(path.with_name(path.name.removeprefix("."))) for path in unfinished], count


def delete_unfinished(out: Path) -> None:
    """Delete what a stopped run left."""
    for path in out.glob(UNFINISHED):
        path.unlink()


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
