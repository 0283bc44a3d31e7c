"""What a run leaves beside the segmentations: efficiency.csv for the challenge, report.json for programs."""

import contextlib
import csv
import io
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from repmedsam_infer.errors import CaseError, UsageError
from repmedsam_infer.io.atomic import write_atomic

EFFICIENCY, REPORT = "efficiency.csv", "report.json"
MAX_REPORT_BYTES = 256 << 20  # of a report.json; ours take about 100 bytes an object
STATUSES = ("ok", "failed", "skipped")


@dataclass(frozen=True)
class ObjectReport:
    """One object: its label in the result, its name, its box as it was given, the DSC that its mask is estimated to
    have, 0 to 1, or None.
    """

    label: int
    name: str
    box: list[float]
    confidence: float | None


@dataclass
class CaseReport:
    """One case: seconds in all and by stage, slices encoded, boxes given and labels segmented, the objects, what was
    odd, what went wrong.
    """

    case: str
    status: Literal["ok", "failed", "skipped"]
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    encodings: int = 0
    boxes: int = 0
    labels: int = 0
    objects: list[ObjectReport] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    input: str | None = None
    output: str | None = None
    overlay: str | None = None

    def add_objects(
        self, labels: Sequence[int], boxes: Sequence[Sequence[float]], confidence: Sequence[float], names: Sequence[str]
    ) -> None:
        """Put down the objects that were segmented. names: of all boxes that were given, by label; none for npz."""
        for label, box, dsc in zip(labels, boxes, confidence, strict=True):
            name = names[label - 1] if names else f"object {label}"
            self.objects.append(ObjectReport(label, name, list(box), None if math.isnan(dsc) else dsc))
        self.labels = len(self.objects)

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


@dataclass(frozen=True)
class Run:
    """What report.json says: about the run, and about each case by its name."""

    setting: dict[str, Any]
    cases: dict[str, CaseReport]


def read_run(segs: Path) -> Run:
    """Return what the run says of itself; nothing where it left no report.json.

    Raises:
        UsageError: the file is not what predict writes.

    """
    path = segs / REPORT
    try:
        if path.stat().st_size > MAX_REPORT_BYTES:
            raise UsageError(f"{path} is larger than {MAX_REPORT_BYTES >> 20} MiB: predict writes no such file")
        content = json.loads(path.read_bytes())
        cases = [read_case_report(raw) for raw in content["cases"]]
    except FileNotFoundError:
        return Run({}, {})
    except UsageError:  # of the size: a ValueError, too
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise UsageError(
            f"{path} cannot be read ({type(error).__name__}: {error}): remove it, or run predict again"
        ) from error
    return Run({key: value for key, value in content.items() if key != "cases"}, {c.case: c for c in cases})


def read_case_report(raw: Any) -> CaseReport:
    """Raise KeyError, TypeError, ValueError or AttributeError where it is not one."""
    status = raw["status"]
    if status not in STATUSES:
        raise ValueError(f"status {status!r}")
    return CaseReport(
        case=str(raw["case"]),
        status=status,
        seconds=number(raw.get("seconds", 0)),
        stages={str(stage): number(seconds) for stage, seconds in raw.get("stages", {}).items()},
        encodings=int(raw.get("encodings", 0)),
        boxes=int(raw.get("boxes", 0)),
        labels=int(raw.get("labels", 0)),
        objects=[read_object_report(one) for one in raw.get("objects", [])],
        warnings=[str(warning) for warning in raw.get("warnings", [])],
        error=text_or_none(raw.get("error")),
        input=text_or_none(raw.get("input")),
        output=text_or_none(raw.get("output")),
        overlay=text_or_none(raw.get("overlay")),
    )


def read_object_report(raw: Any) -> ObjectReport:
    """Raise as `read_case_report`."""
    confidence = None if raw.get("confidence") is None else number(raw["confidence"])
    box = [float(value) for value in raw["box"]]
    return ObjectReport(int(raw["label"]), str(raw.get("name", "")), box, confidence)


def text_or_none(raw: Any) -> str | None:
    return None if raw is None else str(raw)


def number(raw: Any) -> float:
    value = float(raw)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{raw} is not a number of 0 or more")
    return value


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
