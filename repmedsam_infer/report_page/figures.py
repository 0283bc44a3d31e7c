"""The numbers of a whole run on a report's page: what came out, and with what it ran. Each says of what it is."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from repmedsam_infer.errors import printable
from repmedsam_infer.report_page.charts import seconds_text
from repmedsam_infer.report_page.results import MOST_SECONDS, Result, mean
from repmedsam_infer.segmentation.segment import DOUBTFUL


@dataclass(frozen=True)
class Figure:
    """A number in large type, what it is, and of what. colour: a class of page.css, or nothing."""

    value: str | int
    word: str
    of: str
    colour: str = ""


def counted(count: int, one: str) -> str:
    """For example: 1 case, 2 cases."""
    return f"{count:,} {noun(count, one)}"


def noun(count: int, one: str) -> str:
    return one if count == 1 else f"{one}s"


def figures(results: Sequence[Result]) -> list[Figure]:
    """Return what came out, in numbers."""
    failed = sum(result.report.status == "failed" for result in results)
    done = len(results) - failed
    objects = [one for result in results for one in result.objects]
    of_all = f"of {counted(len(results), 'case')}"
    found = [
        Figure(done, f"{noun(done, 'case')} segmented", of_all),
        Figure(failed, f"{noun(failed, 'case')} failed", of_all, "bad" if failed else "good"),
        Figure(len(objects), noun(len(objects), "object"), f"in {counted(done, 'case')}"),
    ]
    if confidences := [one.confidence for one in objects if one.confidence is not None]:
        doubtful = sum(confidence < DOUBTFUL for confidence in confidences)
        of = f"of {counted(len(confidences), 'object')}"
        word = f"{noun(doubtful, 'object')} of a confidence below {DOUBTFUL:g}"
        found.append(Figure(doubtful, word, of, "bad" if doubtful else "good"))
    if seconds := known_seconds(results):
        of = f"of {counted(len(seconds), 'case')} whose time is known"
        found.append(Figure(seconds_text(statistics.median(seconds)), "median time of a case", of))
        found.append(Figure(seconds_text(math.fsum(seconds)), "time of all cases together", of))
    dsc, nsd = [r.dsc for r in results], [r.nsd for r in results]
    of = f"of {counted(sum(value is not None for value in dsc), 'case')} with ground truth"
    for word, values in (("mean DSC of a case", dsc), ("mean NSD of a case, at 2 mm", nsd)):
        if (value := mean(values)) is not None:
            found.append(Figure(f"{value:.4f}", word, of))
    return found


def known_seconds(results: Sequence[Result]) -> list[float]:
    """Return the seconds of each case that did not fail and whose time is known."""
    return [r.report.seconds for r in results if r.report.status != "failed" and r.report.seconds]


def known_setting(setting: dict[str, Any]) -> dict[str, str]:
    """Versions and machine as report.json has them, by the words that the page shows."""
    memory, load = known_number(setting.get("peak_memory_mib")), known_number(setting.get("load_seconds"))
    known = {
        "RepMedSAM": setting.get("repmedsam"),
        "Engine": engine_text(setting.get("engine")),
        "Weights (SHA-256)": setting.get("weights"),
        "Processor": setting.get("processor"),
        "Threads": setting.get("threads"),
        "Cases at a time": setting.get("jobs"),
        "Started": setting.get("started"),
        "Loading the network": None if load is None else seconds_text(load),
        "Peak memory": None if memory is None else f"{memory:,.0f} MiB",
    }
    return {word: printable(str(value)) for word, value in known.items() if value is not None}


def known_number(raw: Any) -> float | None:
    """Return a number that can be seconds or mebibytes; None for anything else that JSON may hold."""
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    return float(raw) if 0 <= raw <= MOST_SECONDS else None


def engine_text(engine: Any) -> str | None:
    """Its name and version, and the precision: one for all, or by kind of case."""
    if not isinstance(engine, dict):
        return None
    precision = engine.get("precision")
    if isinstance(precision, dict):
        precision = ", ".join(f"{kind} in {value}" for kind, value in precision.items())
    name = f"{engine.get('name', '')} {engine.get('version', '')}".strip()
    return ", ".join(str(part) for part in (name, precision) if part)
