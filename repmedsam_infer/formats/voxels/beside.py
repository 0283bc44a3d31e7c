"""Voxels in the file of their header, or in one beside it: a header could name any file of the machine."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.opening import check_file
from repmedsam_infer.formats.voxels.fields import SHOWN


@contextlib.contextmanager
def open_voxels(path: Path, other: str | None, start: int) -> Iterator[io.BufferedReader]:
    """Open the file that has the voxels.

    Args:
        path: of the header.
        other: the name of the file beside it; None where they are in the header's own.
        start: the byte from which on they are.

    Raises:
        CaseReadError: the name is none of one file in the same folder, or that file cannot be opened.

    """
    source = path if other is None else path_beside(path, other)
    try:
        file = source.open("rb")
    except OSError as error:
        raise CaseReadError(
            f"{path.name}: its voxels are in {source.name}, which cannot be opened ({error.strerror})"
        ) from error
    with file:
        file.seek(start)
        yield file


def path_beside(path: Path, other: str) -> Path:
    """Return the path of a file that a header says its voxels are in.

    Raises:
        CaseReadError: it is not one file in the same folder, or not there.

    """
    other = other.removeprefix("./")
    is_name = other.isprintable() and Path(other).name == other and "%" not in other and "\\" not in other
    if not is_name or not other or other.split(maxsplit=1)[0].upper() == "LIST":
        raise CaseReadError(
            f"{path.name}: its voxels are said to be in {other[:SHOWN]!r}; "
            "only one file in the same folder is read: write it as one .nrrd or .mha"
        )
    try:
        check_file(path.with_name(other))
    except CaseReadError as error:
        raise CaseReadError(f"{path.name}: its voxels are in a file beside it: {error}") from error
    return path.with_name(other)
