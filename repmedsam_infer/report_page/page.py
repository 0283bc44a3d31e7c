"""A run as one HTML page: no other file, no network, no script but its own few lines, readable without them.

Whatever names and messages hold, they are text: markup.py escapes them, and the page's policy allows nothing but its
own style, its own script and pictures that are inside it.
"""

import base64
import hashlib
import statistics
from importlib import resources
from pathlib import Path
from typing import Any

from repmedsam_infer.batch.report import now
from repmedsam_infer.errors import SetupError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.report_page.cases import STATUS_WORDS, cases, enlarged
from repmedsam_infer.report_page.charts import number_cell, score_cell, seconds_text, stages_chart, strip
from repmedsam_infer.report_page.markup import Html, escape, tag, void
from repmedsam_infer.report_page.results import Result, Run, mean

CAUTION = "For research, not for diagnosis. Masks can be wrong and look right: a person has to judge every one of them."
EXPLAINED = {
    "Picture": "outlines are masks, corners are the boxes that were given, numbers are labels. Volumes: z is a slice "
    "as acquired, y and x are reformats across the slices (coronal and sagittal of axial slices), slice 0 lowest.",
    "Diameter": "the longest distance between two points on the surface of a mask, through other things, too; of "
    "volumes in space, and within one slice as acquired.",
    "Volume": "voxels, times what each takes up. Without spacing in the case: voxels alone, and diameters in them.",
    "DSC, NSD": "Dice coefficient, and share of both surfaces within 2 mm (in pictures 2 pixels) of each other; 0 for "
    "an object that ground truth or segmentation lacks. A case's is the mean of its objects'.",
    "Kept": "a result that was there before the run.",
}


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
    """The page's HTML: failed cases first, then by DSC where there is one, else by name."""
    ordered = sorted(
        results, key=lambda r: (r.report.status != "failed", 2.0 if r.dsc is None else r.dsc, r.report.case)
    )
    scored = any(result.dsc is not None for result in results)
    style, script = source("page.css"), source("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{digest(style)}'; script-src '{digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        void("meta", name="referrer", content="no-referrer"),
        tag("title", f"{title} – RepMedSAM report"),
        tag("style", style),
    )
    body = tag(
        "body",
        tag("a", "To the cases", class_="skip", href="#cases"),
        tag(
            "header",
            tag("p", "RepMedSAM report", class_="kind"),
            tag("h1", title),
            tag("p", tag("strong", CAUTION), class_="caution"),
        ),
        tag(
            "main",
            summary(run, results),
            [tag("p", note, class_="note") for note in notes],
            modalities(ordered, scored),
            cases(ordered, scored),
            [enlarged(number, result) for number, result in enumerate(ordered, 1)],
        ),
        footer(),
        tag("script", script),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def source(name: str) -> Html:
    return Html(resources.files("repmedsam_infer.report_page").joinpath(name).read_text(encoding="utf-8"))


def digest(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def summary(run: Run, results: list[Result]) -> Html:
    """What came out, in figures; and what ran where."""
    by_status = {status: sum(r.report.status == status for r in results) for status in STATUS_WORDS}
    seconds = [r.report.seconds for r in results if r.report.status != "failed" and r.report.seconds]
    figures = [figure(by_status["ok"] + by_status["skipped"], "cases segmented")]
    figures += [figure(by_status["failed"], "failed", "bad" if by_status["failed"] else "good")]
    figures += [figure(sum(len(r.objects) for r in results), "objects")]
    if seconds:
        figures += [figure(seconds_text(statistics.median(seconds)), "median of a case")]
        figures += [figure(seconds_text(sum(seconds)), "all cases together")]
    for word, values in (("DSC", [r.dsc for r in results]), ("NSD", [r.nsd for r in results])):
        if (value := mean(values)) is not None:
            figures += [figure(f"{value:.4f}", f"mean {word}")]
    return tag(
        "section",
        tag("h2", "Summary"),
        tag("ul", figures, class_="figures"),
        stages_chart(results),
        tag("details", tag("summary", "What ran, and where"), settings(run.setting), open=True),
        aria_label="Summary",
    )


def figure(value: str | int, word: str, kind: str = "") -> Html:
    return tag("li", tag("b", value, class_=kind or None), tag("span", word))


def settings(setting: dict[str, Any]) -> Html:
    """What report.json says of versions and machine."""
    if not setting:
        return tag("p", "There is no report.json beside the segmentations: what made them is not known.")
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
    return tag("dl", [(tag("dt", key), tag("dd", str(value))) for key, value in known.items() if value is not None])


def engine_text(engine: Any) -> str | None:
    """Its name and version, and the precision: one for all, or by kind of case."""
    if not isinstance(engine, dict):
        return None
    precision = engine.get("precision")
    if isinstance(precision, dict):
        precision = ", ".join(f"{kind} in {value}" for kind, value in precision.items())
    name = f"{engine.get('name', '')} {engine.get('version', '')}".strip()
    return ", ".join(str(part) for part in (name, precision) if part)


def modalities(ordered: list[Result], scored: bool) -> Html:
    """A row a modality; where there are scores, with a dot for each case that leads to it."""
    rows = []
    for modality in sorted({result.modality for result in ordered}):
        group = [result for result in ordered if result.modality == modality]
        dots = [(number, r) for number, r in enumerate(ordered, 1) if r.modality == modality]
        seconds = [r.report.seconds for r in group if r.report.status != "failed" and r.report.seconds]
        cells = [
            tag("th", modality, scope="row"),
            number_cell(len(group)),
            number_cell(sum(len(r.objects) for r in group)),
        ]
        cells.append(number_cell(seconds_text(statistics.median(seconds)) if seconds else None))
        if scored:
            cells += [score_cell(mean([r.dsc for r in group])), score_cell(mean([r.nsd for r in group]))]
            cells.append(tag("td", strip(dots), class_="strip"))
        rows.append(tag("tr", cells))
    heads = ["Modality", "Cases", "Objects", "Median", *(["DSC", "NSD", "DSC of each case, 0 to 1"] if scored else [])]
    table = tag(
        "table",
        tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])),
        tag("tbody", rows),
        class_="modalities",
    )
    return tag("section", tag("h2", "By modality"), tag("div", table, class_="wide"))


def footer() -> Html:
    words = [(tag("dt", word), tag("dd", meaning)) for word, meaning in EXPLAINED.items()]
    made = tag("p", f"{CAUTION} Page made {now()}.")
    return tag("footer", tag("h2", "What the words mean"), tag("dl", words), made)
