"""The first case of a run, read while the networks are still being loaded."""

import time
from pathlib import Path

from repmedsam_infer.batch.report import CaseReport
from repmedsam_infer.case import Case, peak_bytes, read_case
from repmedsam_infer.io.npz import open_npz
from repmedsam_infer.system.memory import check_fits

# Of an image: whether a larger one fits can only be told after the networks took their memory.
MOST_BYTES = 64 << 20


class FirstCase:
    """Reads the case at `path`, unless it is large, and gives it away once.

    What cannot be read is read again when it is its turn, and reported then.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.seconds = path, 0.0
        self.case: Case | None = None
        start = time.perf_counter()
        try:
            with open_npz(path) as npz:
                small = npz.declared("imgs").nbytes <= MOST_BYTES
            self.case = read_case(path) if small else None
        except Exception:  # whatever it is: the case fails alone, as any other does
            return
        self.seconds = time.perf_counter() - start

    def read(self, path: Path) -> Case:
        """Return the case at `path`, which is this one's, if memory is left for it. Raise as `read_case` does."""
        case, self.case = self.case, None
        if case is None:
            return read_case(path)
        check_fits(path.name, peak_bytes(case.imgs.shape, case.imgs.dtype, is_volume=case.is_volume))
        return case

    def count_in(self, report: CaseReport) -> None:
        """Add the seconds that reading took before to the report of this case."""
        report.seconds += self.seconds
        report.stages["read"] = report.stages.get("read", 0.0) + self.seconds
