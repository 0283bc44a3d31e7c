"""That there is a file to read at all, before a library opens it.

Unlike cases in a folder that strangers fill (npz.py), these files were named one by one: a symbolic link is followed,
as data sets are often made of them.
"""

import stat
from pathlib import Path

from repmedsam_infer.errors import CaseReadError

# Bytes that a voxel takes beside its own value until its label is written: grey level, slice, label, label in the
# file's order.
BESIDES = 4


def check_file(path: Path) -> int:
    """Its size in bytes.

    Raises:
        CaseReadError: it is not there, empty, or not a regular file.

    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a name with a NUL cannot be one
        raise CaseReadError(f"{path.name}: the file is not there") from None
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):
        raise CaseReadError(f"{path.name}: is not a regular file")
    if found.st_size == 0:
        raise CaseReadError(f"{path.name}: is empty (0 bytes); copy it again")
    return found.st_size


def is_folder(path: Path) -> bool:
    """Raise CaseReadError where the system refuses even that question, as of names that are too long."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error
