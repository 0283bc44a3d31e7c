"""What a run leaves beside the segmentations: efficiency.csv for the challenge, report.json for programs."""

import contextlib
import csv
import io
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from repmedsam_infer.errors import CaseError
from repmedsam_infer.io.atomic import write_atomic

EFFICIENCY, REPORT = "efficiency.csv", "report.json"


@dataclass
class CaseReport:
    """One case: seconds in all and by stage, slices encoded, boxes given and labels segmented, what was odd, what went
    wrong.
    """

    case: str
    status: Literal["ok", "failed", "skipped"]
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    encodings: int = 0
    boxes: int = 0
    labels: int = 0
    warnings: list[str] = field(default_factory=list)
    error: str | None = None

    def fail(self, error: str) -> None:
        self.status, self.error = "failed", error

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Time this case and contain its failure: whatever goes wrong is put down here."""
        start = time.perf_counter()
        try:
            yield
        except CaseError as error:
            self.fail(str(error))
        except MemoryError:
            self.fail(f"{self.case}: there is not enough memory for it; give the process or container more")
        except Exception as error:  # a bug of ours, or of a library
            self.fail(f"{self.case}: internal error, please report it: {type(error).__name__}: {error}")
        finally:
            self.seconds = time.perf_counter() - start


def write_reports(outputs: Path, cases: list[CaseReport], setting: dict[str, Any]) -> None:
    """Write both files into `outputs`.

    efficiency.csv keeps the rows of cases that this run did not do: the challenge starts us once a case, on one folder.

    Raises:
        OSError: they could not be written.

    """
    rows = read_efficiency(outputs / EFFICIENCY)
    rows.update({report.case: f"{report.seconds:.4f}" for report in cases if report.status == "ok"})
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["case", "time"])
    writer.writerows(sorted(rows.items()))
    write_atomic(outputs / EFFICIENCY, table.getvalue().encode())

    counts = {status: sum(c.status == status for c in cases) for status in ("ok", "failed", "skipped")}
    content = {**setting, "counts": counts, "cases": [rounded(asdict(c)) for c in cases]}
    write_atomic(outputs / REPORT, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_efficiency(path: Path) -> dict[str, str]:
    """Rows of an earlier run; none where the file is missing or not ours."""
    try:
        with path.open(newline="") as file:
            return {row["case"]: row["time"] for row in csv.DictReader(file) if row.get("case") and row.get("time")}
    except (OSError, KeyError, ValueError, csv.Error):
        return {}


def rounded(value: Any) -> Any:
    """Seconds to a tenth of a millisecond, at any depth."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return value


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
