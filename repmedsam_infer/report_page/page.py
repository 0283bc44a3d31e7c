"""A run as one HTML page: no other file, no network, no script but its own few lines, readable without them.

Python computes numbers and text here, and the templates beside this file make the markup. Names and messages may hold
anything: all values are escaped, and the page's policy allows nothing but its own style, its own script and pictures
that are inside it.
"""

import base64
import hashlib
import statistics
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repmedsam_infer.batch.report import Run, now
from repmedsam_infer.errors import SetupError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.report_page.cases import STATUS_WORDS, case_row
from repmedsam_infer.report_page.charts import Strip, all_stages, seconds_text, strip
from repmedsam_infer.report_page.results import Result, mean
from repmedsam_infer.segmentation.segment import DOUBTFUL

if TYPE_CHECKING:
    from jinja2 import Environment

CAUTION = "For research, not for diagnosis. Masks can be wrong and look right: a person has to judge every one of them."
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
UNSEEN = ("Cc", "Cf", "Co", "Cn")  # Unicode's categories of control, format, private and unassigned characters


@dataclass(frozen=True)
class Figure:
    """A number in large type and what it counts. colour: a class of page.css, or nothing."""

    value: str | int
    word: str
    colour: str = ""


@dataclass(frozen=True)
class Kind:
    """The cases of one modality.

    cases, objects: how many.
    median: of the cases' seconds, with the unit; empty where none is known.
    dsc, nsd: means over the cases, 0 to 1; None where there is no ground truth.
    """

    name: str
    cases: int
    objects: int
    median: str
    dsc: float | None
    nsd: float | None
    strip: Strip


def write_page(path: Path, title: str, run: Run, results: list[Result], notes: list[str]) -> None:
    """Write the page.

    Raises:
        SetupError: it could not be written.

    """
    try:
        write_atomic(path, page(title, run, results, notes).encode())
    except OSError as error:
        raise SetupError(f"{path} could not be written ({error.strerror}): choose another place with -o") from error


def page(title: str, run: Run, results: list[Result], notes: list[str]) -> str:
    """Return the page's HTML: failed cases first, then by DSC where there is one, else by confidence, then by name."""
    ordered = sorted(results, key=importance)
    scored = any(result.dsc is not None for result in results)
    estimated = any(result.confidence is not None for result in results)
    statuses = {result.report.status for result in results}
    return (
        templates()
        .get_template("page.html.jinja")
        .render(
            title=title,
            caution=CAUTION,
            made=now(),
            notes=notes,
            figures=figures(results),
            stages=all_stages(results),
            setting=known_setting(run.setting) if run.setting else None,
            kinds=kinds(ordered),
            statuses={status: word for status, word in STATUS_WORDS.items() if status in statuses},
            cases=[
                case_row(number, result, scored=scored, estimated=estimated) for number, result in enumerate(ordered, 1)
            ],
            scored=scored,
            estimated=estimated,
        )
    )


def importance(result: Result) -> tuple[bool, float, float, str]:
    """Return a key to sort by: what a person should see first comes first."""
    dsc, confidence = (2.0 if value is None else value for value in (result.dsc, result.confidence))
    return result.report.status != "failed", dsc, confidence, result.report.case


def templates() -> "Environment":
    """Jinja's environment of the templates beside this file: all values are escaped, unknown names are errors."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("repmedsam_infer.report_page", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["digest"] = digest
    return environment


def visible(value: Any) -> Any:
    """Return a value as a template writes it: nothing for None, markup of ours as it is, else text.

    Characters of the text that are invisible, that change its direction or that are none are replaced.
    """
    if value is None:
        return ""
    if hasattr(value, "__html__"):
        return value
    text = str(value)
    if text.isprintable():
        return text
    whole = text.encode("utf-8", "replace").decode()
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in UNSEEN else REPLACEMENT for c in whole)


def digest(content: str) -> str:
    """Return the SHA-256 of a style or script in the form that a Content-Security-Policy has it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def figures(results: list[Result]) -> list[Figure]:
    """Return what came out, in numbers."""
    failed = sum(result.report.status == "failed" for result in results)
    found = [
        Figure(len(results) - failed, "cases segmented"),
        Figure(failed, "failed", "bad" if failed else "good"),
        Figure(sum(len(result.objects) for result in results), "objects"),
    ]
    confidences = [one.confidence for result in results for one in result.objects if one.confidence is not None]
    if confidences:
        doubtful = sum(confidence < DOUBTFUL for confidence in confidences)
        found.append(Figure(doubtful, f"of confidence below {DOUBTFUL:g}", "bad" if doubtful else "good"))
    if seconds := known_seconds(results):
        found.append(Figure(seconds_text(statistics.median(seconds)), "median of a case"))
        found.append(Figure(seconds_text(sum(seconds)), "all cases together"))
    for word, values in (("DSC", [r.dsc for r in results]), ("NSD", [r.nsd for r in results])):
        if (value := mean(values)) is not None:
            found.append(Figure(f"{value:.4f}", f"mean {word}"))
    return found


def known_seconds(results: list[Result]) -> list[float]:
    """Return the seconds of each case that did not fail and whose time is known."""
    return [r.report.seconds for r in results if r.report.status != "failed" and r.report.seconds]


def known_setting(setting: dict[str, Any]) -> dict[str, str]:
    """Versions and machine as report.json has them, by the words that the page shows."""
    memory, load = setting.get("peak_memory_mib"), setting.get("load_seconds")
    known = {
        "RepMedSAM": setting.get("repmedsam"),
        "Engine": engine_text(setting.get("engine")),
        "Weights (SHA-256)": setting.get("weights"),
        "Processor": setting.get("processor"),
        "Threads": setting.get("threads"),
        "Cases at a time": setting.get("jobs"),
        "Started": setting.get("started"),
        "Loading the network": seconds_text(load) if isinstance(load, int | float) else None,
        "Peak memory": f"{memory:,.0f} MiB" if isinstance(memory, int | float) else None,
    }
    return {word: str(value) for word, value in known.items() if value is not None}


def engine_text(engine: Any) -> str | None:
    """Its name and version, and the precision: one for all, or by kind of case."""
    if not isinstance(engine, dict):
        return None
    precision = engine.get("precision")
    if isinstance(precision, dict):
        precision = ", ".join(f"{kind} in {value}" for kind, value in precision.items())
    name = f"{engine.get('name', '')} {engine.get('version', '')}".strip()
    return ", ".join(str(part) for part in (name, precision) if part)


def kinds(ordered: list[Result]) -> list[Kind]:
    """Return the modalities by name. ordered: the cases in the order of the page, which numbers them from 1."""
    found = []
    for name in sorted({result.modality for result in ordered}):
        numbered = [(number, result) for number, result in enumerate(ordered, 1) if result.modality == name]
        group = [result for _, result in numbered]
        seconds = known_seconds(group)
        found.append(
            Kind(
                name=name,
                cases=len(group),
                objects=sum(len(result.objects) for result in group),
                median=seconds_text(statistics.median(seconds)) if seconds else "",
                dsc=mean([result.dsc for result in group]),
                nsd=mean([result.nsd for result in group]),
                strip=strip(numbered),
            )
        )
    return found
