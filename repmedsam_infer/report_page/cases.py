"""The table of cases on a report's page, and the large pictures that it leads to."""

import base64

from repmedsam_infer.report_page.charts import bar, number_cell, score_cell, seconds_text
from repmedsam_infer.report_page.markup import Html, tag, void
from repmedsam_infer.report_page.objects import objects_table, size_text
from repmedsam_infer.report_page.results import Result

WARNINGS_SHOWN = 3  # of a case, before the others are folded away
STATUS_WORDS = {"ok": "ok", "failed": "failed", "skipped": "kept"}
BAR_WIDTH = 120  # pixels of a case's bar of stages
COLUMNS = (
    ("case", "Case", "ascending"),
    ("objects", "Objects", "descending"),
    ("seconds", "Seconds", "descending"),
    ("dsc", "DSC", "ascending"),
    ("nsd", "NSD", "ascending"),
)  # key, word, how it is sorted first


def cases(ordered: list[Result], scored: bool) -> Html:
    """The table of cases, and what sorts and filters it."""
    columns = [column for column in COLUMNS if scored or column[0] not in ("dsc", "nsd")]
    heads = [tag("th", "Picture", scope="col")]
    for key, word, first in columns:
        heads.append(tag("th", tag("button", word, type="button", data_sort=key, data_first=first), scope="col"))
    statuses = {result.report.status for result in ordered}
    options = [tag("option", "any status", value="")]
    options += [tag("option", word, value=status) for status, word in STATUS_WORDS.items() if status in statuses]
    options += [tag("option", "with warnings", value="warned")]
    kinds = [tag("option", "any modality", value="")]
    kinds += [tag("option", name, value=name) for name in sorted({result.modality for result in ordered})]
    controls = tag(
        "form",
        tag("label", "Find ", void("input", type="search", name="text", placeholder="in names and messages")),
        tag("label", "Status ", tag("select", options, name="status")),
        tag("label", "Modality ", tag("select", kinds, name="modality")),
        tag("button", "Open all", type="button", data_open=True),
        tag("output", aria_live="polite"),
        class_="controls",
        hidden=True,
    )
    bodies = [case_rows(number, result, len(columns) + 1, scored) for number, result in enumerate(ordered, 1)]
    table = tag("table", tag("thead", tag("tr", heads)), bodies, class_="cases")
    order = "Failed ones first, then the worst DSC first." if scored else "Failed ones first, then by name."
    return tag("section", tag("h2", "Cases"), tag("p", order, class_="hint"), controls, table, id="cases")


def case_rows(number: int, result: Result, columns: int, scored: bool) -> Html:
    """A case: its row, and below it, folded, its objects."""
    report = result.report
    cells = [tag("td", thumbnail(number, result), class_="picture", rowspan=2 if result.objects else None)]
    cells.append(tag("th", case_cell(result), scope="row"))
    count = len(result.objects) if report.status != "failed" else None
    cells.append(number_cell(count, "Objects"))
    timing = tag("td", seconds_text(report.seconds) if report.seconds else "", class_="number", data_label="Seconds")
    if report.stages and report.seconds:
        timing = tag(
            "td", seconds_text(report.seconds), bar(report.stages, BAR_WIDTH, 6), class_="number", data_label="Seconds"
        )
    cells.append(timing)
    if scored:
        cells += [score_cell(result.dsc, "DSC"), score_cell(result.nsd, "NSD")]
    rows = [tag("tr", cells)]
    if result.objects:
        rows.append(tag("tr", tag("td", objects_table(result, scored), colspan=columns - 1), class_="more"))
    data: dict[str, str | int | float | None] = {
        "data_case": report.case,
        "data_objects": count,
        "data_seconds": report.seconds or None,
        "data_dsc": result.dsc,
        "data_nsd": result.nsd,
        "data_status": report.status,
        "data_modality": result.modality,
        "data_warned": 1 if report.warnings else None,
    }
    return tag("tbody", rows, id=f"c{number}", class_=f"case {report.status}", **data)


def case_cell(result: Result) -> list[Html | None]:
    report = result.report
    messages = [tag("li", warning) for warning in report.warnings]
    shown, folded = messages[:WARNINGS_SHOWN], messages[WARNINGS_SHOWN:]
    more = tag("details", tag("summary", f"{len(folded)} more warnings"), tag("ul", folded, class_="warnings"))
    return [
        tag("span", report.case.removesuffix(".npz"), class_="name"),
        tag("span", STATUS_WORDS[report.status], class_=f"status {report.status}"),
        tag("span", size_text(result), class_="size") if result.shape else None,
        tag("p", report.error, class_="error") if report.error else None,
        tag("ul", shown, class_="warnings") if shown else None,
        more if folded else None,
    ]


def thumbnail(number: int, result: Result) -> Html | None:
    if not result.pictures:
        return None
    image = void("img", src=data_uri(result.pictures[0]), alt="", loading="lazy", decoding="async")
    return tag("a", image, href=f"#p{number}", aria_label=f"Enlarge the picture of {result.report.case}")


def enlarged(number: int, result: Result) -> Html | None:
    """The large picture, over the whole page while it is what the address points to."""
    if not result.pictures:
        return None
    name = result.report.case.removesuffix(".npz")
    words = f"{name}: outlines of masks, corners of boxes, numbers of labels"
    image = void("img", src=data_uri(result.pictures[-1]), alt=words, decoding="sync")
    close = tag("a", "Close", class_="close", href=f"#c{number}")
    return tag(
        "figure",
        tag("figcaption", name),
        close,
        image,
        id=f"p{number}",
        class_="enlarged",
        role="dialog",
        aria_label=words,
    )


def data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
