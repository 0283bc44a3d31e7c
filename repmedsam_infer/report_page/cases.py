"""The cases of a run as text and numbers, in the order of a report's page. cases.html.jinja shows them."""

import base64
from dataclasses import dataclass

from repmedsam_infer.report_page.charts import Bar, seconds_text, stages_bar
from repmedsam_infer.report_page.figures import counted
from repmedsam_infer.report_page.objects import ObjectRow, ObjectsTable, objects_table, size_text
from repmedsam_infer.report_page.pictures import Pictures
from repmedsam_infer.report_page.results import Result
from repmedsam_infer.segmentation.segment import DOUBTFUL

WARNINGS_SHOWN = 3  # of a case, before the others are folded away
WARNINGS_FOLDED = 100  # of a case, before the others are left out
NAMES_SHOWN = 12  # of a case's objects, below its large picture
STATUS_WORDS = {"ok": "ok", "failed": "failed", "skipped": "kept"}


@dataclass(frozen=True)
class SliceView:
    """One slice of a volume: its index along z, and the data: address of a JPEG picture."""

    index: int
    address: str


@dataclass(frozen=True)
class CaseRow:
    """One case.

    number: its place on the page, from 1.
    file, name: with and without .npz.
    status, status_word: as report.json and as the page have it.
    size: of the image; empty where it was not read.
    error: None where the case did not fail.
    warnings, folded: those shown at once, and the rest. dropped: how many are left out.
    count: objects; None where the case failed.
    seconds: with the unit; empty where the time is not known.
    stages: seconds by stage; None where they are not known.
    dsc, nsd: 0 to 1; None where there is no ground truth.
    confidence: the lowest of its objects; None where the run has none. doubtful: whether it is low.
    objects: None where there are none.
    small, large: data: addresses of JPEG pictures; empty where there are none.
    slices: of a volume. first: the place among them of the one that is shown first. slices_text: which these are.
    legend: objects with the colours of their outlines. more: how many have no place there.
    has_truth: whether pictures show ground truth.
    data: values by name, for the page's script to sort and filter by; names without a value are left out.
    """

    number: int
    file: str
    name: str
    status: str
    status_word: str
    size: str
    error: str | None
    warnings: list[str]
    folded: list[str]
    dropped: int
    count: int | None
    seconds: str
    stages: Bar | None
    dsc: float | None
    nsd: float | None
    confidence: float | None
    doubtful: bool
    objects: ObjectsTable | None
    small: str
    large: str
    slices: list[SliceView]
    first: int
    slices_text: str
    legend: list[ObjectRow]
    more: int
    has_truth: bool
    data: dict[str, str | int | float]


def case_row(number: int, result: Result, *, scored: bool, estimated: bool) -> CaseRow:
    """Return a case as the page shows it.

    number: its place, from 1. scored, estimated: whether any case of the run has scores, has confidence.
    """
    report, pictures = result.report, result.pictures
    objects = objects_table(result, scored=scored, estimated=estimated) if result.objects else None
    count = len(result.objects) if report.status != "failed" else None
    data = {
        "case": report.case,
        "objects": count,
        "seconds": report.seconds or None,
        "dsc": result.dsc,
        "nsd": result.nsd,
        "confidence": result.confidence,
        "status": report.status,
        "modality": result.modality,
        "warned": 1 if report.warnings else None,
    }
    return CaseRow(
        number=number,
        file=report.case,
        name=report.case.removesuffix(".npz"),
        status=report.status,
        status_word=STATUS_WORDS[report.status],
        size=size_text(result),
        error=report.error,
        warnings=report.warnings[:WARNINGS_SHOWN],
        folded=report.warnings[WARNINGS_SHOWN : WARNINGS_SHOWN + WARNINGS_FOLDED],
        dropped=max(len(report.warnings) - WARNINGS_SHOWN - WARNINGS_FOLDED, 0),
        count=count,
        seconds=seconds_text(report.seconds) if report.seconds else "",
        stages=stages_bar(report.stages, 120, 6) if report.stages else None,
        dsc=result.dsc,
        nsd=result.nsd,
        confidence=result.confidence,
        doubtful=result.confidence is not None and result.confidence < DOUBTFUL,
        objects=objects,
        small=data_address(pictures.small) if pictures else "",
        large=data_address(pictures.large) if pictures else "",
        slices=[SliceView(one.index, data_address(one.jpeg)) for one in pictures.slices] if pictures else [],
        first=pictures.first if pictures else 0,
        slices_text=slices_text(pictures) if pictures else "",
        legend=sorted(objects.rows, key=lambda row: row.label)[:NAMES_SHOWN] if objects else [],
        more=max(len(result.objects) - NAMES_SHOWN, 0),
        has_truth=result.has_truth,
        data={name: value for name, value in data.items() if value is not None},
    )


def slices_text(pictures: Pictures) -> str:
    """Say which slices of a volume the page has; nothing of a picture."""
    if not pictures.depth:
        return ""
    indices = [one.index for one in pictures.slices]
    if not indices:
        return f"{counted(pictures.depth, 'slice')}, which a page of so many cases has no room for"
    if len(indices) == pictures.depth:
        return f"all {counted(pictures.depth, 'slice')}"
    step = indices[1] - indices[0]
    every = "" if step == 1 else f", one of every {step}"
    return f"{len(indices)} of {pictures.depth} slices, z {indices[0]} to {indices[-1]}{every}; the others are left out"


def data_address(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
