"""What is known of each case of a run, and how it is read back: report.json and efficiency.csv of an earlier run."""

import contextlib
import csv
import io
import json
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from repmedsam_infer.batch.run_files import RunFiles
from repmedsam_infer.batch.warning_list import by_label, cut
from repmedsam_infer.errors import CaseError, RepMedSAMError, UsageError, printable
from repmedsam_infer.result import ObjectResult
from repmedsam_infer.segmentation.segment import DOUBTFUL
from repmedsam_infer.system.regular import read_regular
from repmedsam_infer.system.shortage import is_shortage

MAX_REPORT_BYTES = 256 << 20  # of a report.json from anywhere; ours take about 400 bytes an object
STATUSES = ("ok", "failed", "skipped")


@dataclass(frozen=True)
class ObjectReport:
    """One object: its label in the result, its name, its box as it was given, the DSC that its mask is estimated to
    have, 0 to 1, or None; pixels or voxels of the label, None where an older run did not count them; of a picture its
    area, of a volume its volume, where spacing is known; what was odd about it.
    """

    label: int
    name: str
    box: list[float]
    confidence: float | None
    pixels: int | None = None
    area_mm2: float | None = None
    volume_ml: float | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass
class CaseReport:
    """One case: seconds in all and by stage, slices encoded, boxes given and labels segmented, the objects, what was
    odd, what went wrong; the input's path, the result's file name in its folder, the overlay's path, where they are
    known.
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

    def add_objects(self, objects: Iterable[ObjectResult]) -> None:
        """Put down the objects that were segmented; each takes its part of the warnings that are there by now."""
        odd = by_label(self.warnings)
        for one in objects:
            notes = odd.get(one.label, [])
            if one.pixels == 0:
                notes = [*notes, "nothing is marked"]
            if one.confidence is not None and one.confidence < DOUBTFUL:
                notes = [*notes, "low confidence"]
            self.objects.append(
                ObjectReport(
                    one.label, one.name, list(one.box), one.confidence, one.pixels, one.area_mm2, one.volume_ml, notes
                )
            )
        self.labels = len(self.objects)

    def fail(self, error: str) -> None:
        self.status, self.error = "failed", printable(error)

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Time this case and contain its failure: whatever goes wrong is put down here."""
        start = time.perf_counter()
        try:
            yield
        except CaseError as error:
            self.fail(str(error))
        except RepMedSAMError as error:
            self.fail(f"{self.case}: {error}")
        except Exception as error:
            if is_shortage(error):
                self.fail(f"{self.case}: there is not enough memory for it; give the process or container more")
            else:  # a bug of ours, or of a library
                self.fail(f"{self.case}: internal error, please report it: {type(error).__name__}: {error}")
        finally:
            self.seconds = time.perf_counter() - start
            self.warnings = cut(self.warnings)


@dataclass(frozen=True)
class Run:
    """What report.json says: about the run, and about each case by its name."""

    setting: dict[str, Any]
    cases: dict[str, CaseReport]


def read_run(segs: Path, most: int = MAX_REPORT_BYTES) -> Run:
    """`read_report` of the run into the folder `segs`."""
    return read_report(RunFiles(segs).report, most)


def read_report(path: Path, most: int = MAX_REPORT_BYTES) -> Run:
    """Return what a run says of itself in a report.json; nothing where there is none.

    Raises:
        UsageError: the file is not what predict writes, or has more than `most` bytes.

    """
    try:
        content = json.loads(read_regular(path, most))
        cases = [read_case_report(raw) for raw in content["cases"]]
    except FileNotFoundError:
        return Run({}, {})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise UsageError(f"{path} cannot be read ({reason}): remove it, or run predict again") from error
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
    box = [float(value) for value in raw["box"]]
    pixels = number_or_none(raw.get("pixels"))
    return ObjectReport(
        int(raw["label"]),
        str(raw.get("name", "")),
        box,
        number_or_none(raw.get("confidence")),
        None if pixels is None else int(pixels),
        number_or_none(raw.get("area_mm2")),
        number_or_none(raw.get("volume_ml")),
        [str(warning) for warning in raw.get("warnings", [])],
    )


def text_or_none(raw: Any) -> str | None:
    return None if raw is None else str(raw)


def number_or_none(raw: Any) -> float | None:
    return None if raw is None else number(raw)


def number(raw: Any) -> float:
    value = float(raw)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{raw} is not a number of 0 or more")
    return value


def read_efficiency(path: Path) -> dict[str, str]:
    """Rows of an earlier run; none where the file is missing or not ours."""
    try:
        text = read_regular(path, MAX_REPORT_BYTES).decode("utf-8", "surrogateescape")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return {row["case"]: row["time"] for row in rows if row.get("case") and row.get("time")}
    except (OSError, KeyError, ValueError, csv.Error):
        return {}


def as_json(report: CaseReport) -> dict[str, Any]:
    """Return what JSON holds of it."""
    content: dict[str, Any] = rounded(asdict(report))
    return content


def json_bytes(content: Any, indent: int | None = None) -> bytes:
    r"""UTF-8; half surrogates, which names of files may hold, become \ud800 and so on, as JSON writes them."""
    return json.dumps(content, indent=indent, ensure_ascii=False).encode("utf-8", "backslashreplace")


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
