"""A run as one HTML page: no other file, no network, no script but its own few lines, readable without them.

Python computes numbers and text here, and the templates in template/ make the markup. Names and messages may hold
anything: all values are escaped, and the page's policy allows nothing but its own style, its own script and pictures
that are inside it.
"""

import base64
import functools
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
from repmedsam_infer.report_page.figures import figures, known_seconds, known_setting
from repmedsam_infer.report_page.results import Result, mean

if TYPE_CHECKING:
    from jinja2 import Environment

CAUTION = "For research, not for diagnosis. Masks can be wrong and look right: a person has to judge every one of them."
VOLUME_AXES = 3
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
UNSEEN = ("Cc", "Cf", "Co", "Cn")  # Unicode's categories of control, format, private and unassigned characters


@dataclass(frozen=True)
class Kind:
    """The cases of one modality.

    cases, objects: how many.
    median: of the cases' seconds, with the unit; empty where none is known. timed: of how many cases.
    dsc, nsd: means over the cases, 0 to 1; None where there is no ground truth. scored: how many cases have some.
    """

    name: str
    cases: int
    objects: int
    median: str
    timed: int
    scored: int
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
            with_truth=any(result.has_truth for result in results),
            with_letters=any(result.has_letters for result in results),
            with_volumes=any(len(result.shape) == VOLUME_AXES for result in results),
        )
    )


def importance(result: Result) -> tuple[bool, float, float, str]:
    """Return a key to sort by: what a person should see first comes first."""
    dsc, confidence = (2.0 if value is None else value for value in (result.dsc, result.confidence))
    return result.report.status != "failed", dsc, confidence, result.report.case


@functools.cache
def templates() -> "Environment":
    """Jinja's environment of the templates in template/: all values are escaped, unknown names are errors."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("repmedsam_infer.report_page", "template"),
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


def kinds(ordered: list[Result]) -> list[Kind]:
    """Return the modalities by name. ordered: the cases in the order of the page, which numbers them from 1."""
    found = []
    groups: dict[str, list[tuple[int, Result]]] = {}
    for number, result in enumerate(ordered, 1):
        groups.setdefault(result.modality, []).append((number, result))
    for name, numbered in sorted(groups.items()):
        group = [result for _, result in numbered]
        seconds = known_seconds(group)
        found.append(
            Kind(
                name=name,
                cases=len(group),
                objects=sum(len(result.objects) for result in group),
                median=seconds_text(statistics.median(seconds)) if seconds else "",
                timed=len(seconds),
                scored=sum(result.dsc is not None for result in group),
                dsc=mean([result.dsc for result in group]),
                nsd=mean([result.nsd for result in group]),
                strip=strip(numbered),
            )
        )
    return found
