"""Figures on a report's page: cells of numbers, seconds by stage and scores as bars and dots, drawn as SVG."""

from repmedsam_infer.report_page.markup import Html, tag
from repmedsam_infer.report_page.results import Result

STAGES = ("read", "preprocess", "encode", "decode", "postprocess", "write", "overlay")  # those that have a colour
STRIP_WIDTH, STRIP_HEIGHT = 220, 18  # pixels of a modality's strip of scores


def stages_chart(results: list[Result]) -> Html | None:
    """Seconds by stage of all cases together: a bar, and what its parts are."""
    totals: dict[str, float] = {}
    for result in results:
        for stage, seconds in result.report.stages.items():
            totals[stage] = totals.get(stage, 0) + seconds
    if not sum(totals.values()):
        return None
    whole = sum(totals.values())
    legend = [
        tag("li", tag("i", class_=stage_class(stage)), f"{stage} ", tag("b", seconds_text(s)), f" {s / whole:.0%}")
        for stage, s in in_order(totals)
    ]
    return tag("div", bar(totals, 1000, 14), tag("ul", legend, class_="legend"), class_="stages")


def bar(stages: dict[str, float], width: int, height: int) -> Html:
    """Stages side by side, each as wide as its share of the seconds."""
    whole, left, parts = sum(stages.values()) or 1, 0.0, []
    for stage, seconds in in_order(stages):
        share = seconds / whole * width
        name = tag("title", f"{stage} {seconds_text(seconds)}")
        parts.append(tag("rect", name, class_=stage_class(stage), x=f"{left:.1f}", width=f"{share:.1f}", height=height))
        left += share
    words = ", ".join(f"{stage} {seconds_text(seconds)}" for stage, seconds in in_order(stages))
    return tag(
        "svg",
        parts,
        class_="bar",
        viewBox=f"0 0 {width} {height}",
        preserveAspectRatio="none",
        role="img",
        aria_label=words,
    )


def in_order(stages: dict[str, float]) -> list[tuple[str, float]]:
    known = [(stage, stages[stage]) for stage in STAGES if stage in stages]
    return known + [(stage, seconds) for stage, seconds in stages.items() if stage not in STAGES]


def stage_class(stage: str) -> str:
    return f"stage-{stage}" if stage in STAGES else "stage-other"


def strip(group: list[tuple[int, Result]]) -> Html:
    """Scores as dots from 0 to 1; with the numbers of their cases."""
    middle, span = STRIP_HEIGHT / 2, STRIP_WIDTH - 2 * STRIP_HEIGHT / 2
    dots = []
    for number, result in group:
        if result.dsc is not None:
            x = STRIP_HEIGHT / 2 + result.dsc * span
            name = tag("title", f"{result.report.case} {result.dsc:.3f}")
            dot = tag("circle", name, cx=f"{x:.1f}", cy=middle, r=4)
            dots.append(tag("a", dot, href=f"#c{number}", tabindex=-1))
    line = tag("line", x1=middle, x2=STRIP_WIDTH - middle, y1=middle, y2=middle)
    size: dict[str, str | int] = {
        "width": STRIP_WIDTH,
        "height": STRIP_HEIGHT,
        "viewBox": f"0 0 {STRIP_WIDTH} {STRIP_HEIGHT}",
    }
    return tag("svg", line, dots, role="img", aria_label="DSC of each case", **size)


def score_cell(value: float | None, label: str | None = None) -> Html:
    """A score, and a bar as long as it."""
    if value is None:
        return tag("td", class_="number", data_label=label)
    rail = (
        tag("rect", class_="rail", width=100, height=4),
        tag("rect", class_="level", width=f"{value * 100:.1f}", height=4),
    )
    drawn = tag("svg", rail, class_="bar", viewBox="0 0 100 4", preserveAspectRatio="none", aria_hidden="true")
    return tag("td", f"{value:.4f}", drawn, class_="number", data_label=label)


def number_cell(value: str | int | None, label: str | None = None) -> Html:
    return tag("td", "" if value is None else value, class_="number", data_label=label)


def seconds_text(seconds: float) -> str:
    """Three digits, in ms, s or min."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds >= 0.001 else f"{seconds * 1000:.1f} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"
