"""Shards: plain tar files, in which the files of a case follow each other and share the name up to the first dot.

This is webdataset's naming: its readers, and any tar, read them, too. A case of a shard has a path that no file system
has, that of the shard with the case's name behind it: data/shard-000000.tar/2DBox_CT_abdomen_0001.npz.
"""

import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_train.data.labelled import LabelledCase
from repmedsam_train.data.packing.encoding import KINDS, PackedCase, decoded, known_of

SHARD = ".tar"
UNFINISHED = ".shard-*.tar"  # names of shards while others are still being packed


@dataclass(frozen=True)
class Place:
    """Where in a shard a case is: offset and bytes of its image and of its labels; and what its JSON says."""

    known: PackedCase
    image: tuple[int, int]
    labels: tuple[int, int]


def find_shards(folder: Path) -> list[Path]:
    """Return the shards of a folder in order of name; none where there is no such folder.

    Raises:
        UsageError: `repmedsam-train pack` was stopped while it gave them their names: some are missing.

    """
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == SHARD)
    except OSError:
        return []
    shards = [path for path in found if not path.name.startswith(".")]
    if shards and any(path.match(UNFINISHED) for path in found):
        raise UsageError(f"packing into {folder} was stopped before its end: delete what is in it and pack again")
    return shards


def is_packed(path: Path) -> bool:
    """Whether a case's path is within a shard."""
    return path.parent.suffix == SHARD


def cases_in(shard: Path) -> dict[str, Place]:
    """Return the cases of a shard by name, in their order. Reads headers and JSON only, once for each shard.

    Raises:
        UsageError: it cannot be read, or is not a shard of ours.

    """
    try:
        status = shard.stat()
        return places_of(shard, status.st_size, status.st_mtime_ns)
    except (OSError, tarfile.TarError, CaseReadError) as error:
        raise UsageError(f"{shard} cannot be read as a shard ({error}); pack the cases again") from error


@lru_cache(maxsize=100_000)
def places_of(shard: Path, _size: int, _changed: int) -> dict[str, Place]:
    found: dict[str, dict[str, tuple[int, int]]] = {}
    places: dict[str, Place] = {}
    with tarfile.open(shard, "r:") as archive, shard.open("rb") as file:
        for member in archive:
            kind = next((kind for kind in KINDS if member.isreg() and member.name.endswith(kind)), None)
            if kind is not None:
                part = kind.removesuffix(".webp").removesuffix(".png")
                found.setdefault(member.name.removesuffix(kind), {})[part] = (member.offset_data, member.size)
        for key, parts in found.items():
            if parts.keys() != {".image", ".labels", ".json"}:
                raise CaseReadError(f"a file of {key} is missing")
            known = known_of(read_at(file.fileno(), *parts[".json"]), key)
            places[known.name] = Place(known, parts[".image"], parts[".labels"])
    return places


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(offset)
        return file.read(size)


def read_packed(path: Path) -> LabelledCase:
    """Read a case of a shard.

    Raises:
        UsageError: the shard cannot be read.
        CaseReadError: there is no such case, or it is damaged.

    """
    place = cases_in(path.parent).get(path.name)
    if place is None:
        raise CaseReadError(f"{path.parent} holds no case {path.name}")
    try:
        with path.parent.open("rb") as file:
            image, labels = (read_at(file.fileno(), *where) for where in (place.image, place.labels))
    except OSError as error:
        raise CaseReadError(f"{path} cannot be read: {error}") from error
    return decoded(place.known, image, labels, str(path))
