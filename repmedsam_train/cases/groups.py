"""groups.csv of a folder that cases are added to: a case is not there without its group, whenever it is stopped."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from repmedsam_infer.errors import CaseWriteError, SetupError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_train.data.split import GROUPS, read_groups


class GroupsFile:
    """Which case is of which group; what groups.csv says of other cases stays.

    path: of groups.csv. known: of each case (file name) its group.
    """

    def __init__(self, folder: Path) -> None:
        """Raise UsageError where the groups.csv that is there cannot be read."""
        self.path = folder / GROUPS
        self.known = read_groups(self.path)
        self.open_for_rows = False

    def add(self, case: str, group: str) -> None:
        """Add a row, before the case is written: a row without its case does no harm.

        Rows are added at the end, as to write the whole table for every case would take longer the more there are.
        Where a case has two rows the last holds.

        Args:
            case: its file name.
            group: its group.

        Raises:
            CaseWriteError: it cannot be written.

        """
        try:
            if not self.open_for_rows:
                write_atomic(self.path, table_of(self.known).encode())
                self.open_for_rows = True
            with self.path.open("ab") as file:
                file.write(rows_of([(case, group)]).encode())
        except OSError as error:
            raise CaseWriteError(f"{case}: {self.path} cannot be written ({error.strerror})") from error
        self.known[case] = group

    def finish(self) -> None:
        """Write the rows in order, each once. Raise SetupError where they cannot be written."""
        if self.open_for_rows:
            write_table(self.path, self.known)


def write_table(path: Path, group_of: dict[str, str]) -> None:
    """Write cases, by name, and their groups. Raise SetupError where it cannot be written."""
    try:
        write_atomic(path, table_of(group_of).encode())
    except OSError as error:
        raise SetupError(f"{path} cannot be written ({error.strerror})") from error


def table_of(group_of: dict[str, str]) -> str:
    """Return the text of groups.csv."""
    rows = sorted(group_of.items(), key=lambda one: one[0].removesuffix(".npz"))
    return rows_of([("case", "group"), *rows])


def rows_of(pairs: Iterable[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((case.removesuffix(".npz"), group) for case, group in pairs)
    return text.getvalue()
