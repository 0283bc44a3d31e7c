"""Charts of a report's page as numbers and text: seconds by stage, scores as dots. charts.html.jinja draws them."""

from dataclasses import dataclass

from repmedsam_infer.report_page.results import Result

STAGES = (
    "load",
    "read",
    "prepare",
    "preprocess",
    "encode",
    "decode",
    "postprocess",
    "write",
    "overlay",
)  # those that have a colour
STRIP_WIDTH, STRIP_HEIGHT = 220, 18  # pixels of a modality's strip of scores


@dataclass(frozen=True)
class Part:
    """One stage of a bar.

    colour: the name of a colour in page.css.
    seconds: as text with its unit.
    share: of the whole bar, 0 to 1.
    left, width: in units of the bar's width, with one decimal.
    """

    stage: str
    colour: str
    seconds: str
    share: float
    left: float
    width: float


@dataclass(frozen=True)
class Bar:
    """Stages side by side. width, height: of the drawing, which the page stretches."""

    parts: list[Part]
    width: int
    height: int

    @property
    def words(self) -> str:
        """For example: encode 0.3 s, decode 0.1 s."""
        return ", ".join(f"{part.stage} {part.seconds}" for part in self.parts)


@dataclass(frozen=True)
class Dot:
    """The score of one case. number: of the case on the page; x: pixels from the left end of the strip."""

    number: int
    words: str
    x: float


@dataclass(frozen=True)
class Strip:
    """Scores from 0 to 1 along a line. width, height, middle: pixels."""

    dots: list[Dot]
    width: int = STRIP_WIDTH
    height: int = STRIP_HEIGHT
    middle: float = STRIP_HEIGHT / 2


def all_stages(results: list[Result]) -> Bar | None:
    """Seconds by stage of all cases together; None where no stage took any time."""
    totals: dict[str, float] = {}
    for result in results:
        for stage, seconds in result.report.stages.items():
            totals[stage] = totals.get(stage, 0) + seconds
    return stages_bar(totals, 1000, 14) if sum(totals.values()) else None


def stages_bar(stages: dict[str, float], width: int, height: int) -> Bar:
    """Each stage as wide as its share of the seconds. Stages with a colour come first, in the order of STAGES."""
    known = [(stage, stages[stage]) for stage in STAGES if stage in stages]
    ordered = known + [(stage, seconds) for stage, seconds in stages.items() if stage not in STAGES]
    whole, left, parts = sum(stages.values()) or 1, 0.0, []
    for stage, seconds in ordered:
        share = seconds / whole
        colour = f"stage-{stage}" if stage in STAGES else "stage-other"
        parts.append(Part(stage, colour, seconds_text(seconds), share, round(left, 1), round(share * width, 1)))
        left += share * width
    return Bar(parts, width, height)


def strip(group: list[tuple[int, Result]]) -> Strip:
    """Return the scores of cases, each with its number on the page. Cases without a score are left out."""
    dots = []
    for number, result in group:
        if result.dsc is not None:
            x = STRIP_HEIGHT / 2 + result.dsc * (STRIP_WIDTH - STRIP_HEIGHT)
            dots.append(Dot(number, f"{result.report.case} {result.dsc:.3f}", round(x, 1)))
    return Strip(dots)


def seconds_text(seconds: float) -> str:
    """For example: 12.3 ms, 4.56 s, 3 min 20 s, 5 h 2 min."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds >= 0.001 else f"{seconds * 1000:.1f} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"
