"""Training cases where they are stored: npz files of a folder, or cases of its shards."""

from pathlib import Path

from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.case_files import find_cases, modality_of
from repmedsam_infer.io.npz import open_npz
from repmedsam_train.data.labelled import LabelledCase, read_labelled
from repmedsam_train.data.packing.shards import cases_in, find_shards, is_packed, read_packed
from repmedsam_train.data.reduction import reduced_shape


def find_training_cases(folder: Path) -> list[Path]:
    """Return the cases of a folder's shards; its npz files where it has none.

    Raises:
        UsageError: there are neither, or both; a shard cannot be read, or holds no case.

    """
    shards = find_shards(folder)
    if not shards:
        return find_cases(folder)
    if has_files(folder):
        raise UsageError(f"{folder} holds npz files and tar files ({shards[0].name}): move one kind to another folder")
    for shard in shards:
        if not cases_in(shard):
            raise UsageError(f"{shard} holds no case of `repmedsam-train pack`: move it to another folder")
    return [shard / name for shard in shards for name in cases_in(shard)]


def has_files(folder: Path) -> bool:
    """Whether there are npz files in a folder."""
    return any(not path.name.startswith(".") for path in folder.glob("*.npz"))


def groups_in_shards(folder: Path) -> dict[str, str]:
    """Of each case of a folder's shards its group."""
    return {name: place.known.group for shard in find_shards(folder) for name, place in cases_in(shard).items()}


def read_training_case(path: Path) -> LabelledCase:
    """Read a case, from a file or from a shard.

    Raises:
        CaseReadError: it cannot be read, or is not a case.
        UsageError: its shard cannot be read.

    """
    return read_packed(path) if is_packed(path) else read_labelled(path)


def size_in_pool(path: Path, side: int, mammogram_ways: int = 1) -> int:
    """Return how many bytes a case takes in a pool (pool.py), at most; reads no more than what states its shape.

    A mammogram has up to `mammogram_ways` label maps there, everything else one.

    Raises:
        CaseReadError, UsageError: as `read_training_case`.

    """
    if is_packed(path):
        known = cases_in(path.parent)[path.name].known
        (depth, height, width), channels = known.shape, known.channels
    else:
        with open_npz(path) as npz:
            shape = npz.declared("gts").shape
            channels = 3 if len(npz.declared("imgs").shape) > len(shape) else 1
        depth, height, width = (1, 1, 1, *shape)[-3:]
    rows, columns = reduced_shape((height, width), side)
    ways = mammogram_ways if modality_of(path.name) == "Mammography" else 1
    return depth * rows * columns * (channels + 2 * ways)
