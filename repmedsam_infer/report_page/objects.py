"""The table of one case's objects on a report's page as text: how large each is, how well it was scored."""

from dataclasses import dataclass

from repmedsam_infer.drawing.label_colours import label_color
from repmedsam_infer.report_page.figures import counted
from repmedsam_infer.report_page.results import ObjectResult, Result
from repmedsam_infer.result import MM3_A_ML
from repmedsam_infer.segmentation.segment import DOUBTFUL

MOST_WRITTEN = 1e12  # that is written without powers of 10
MOST_ROWS = 500  # objects of a case that are listed


@dataclass(frozen=True)
class ObjectRow:
    """One object.

    colour: of its outline, as SVG has it.
    confidence: a text, or nothing; doubtful: whether it is low. scores: DSC and NSD, or nothing. sizes: a text a
    column, nothing where the mask is empty.
    """

    label: int
    colour: str
    name: str
    confidence: list[str]
    doubtful: bool
    scores: list[str]
    sizes: list[str]


@dataclass(frozen=True)
class ObjectsTable:
    """The objects of one case.

    total: all of them together, in words.
    named: whether there are names that say more than the label.
    confidence_heads, score_heads, size_heads: the words above the columns.
    left_out: how many objects have no row.
    """

    total: str
    named: bool
    confidence_heads: list[str]
    score_heads: list[str]
    size_heads: list[str]
    rows: list[ObjectRow]
    left_out: int


def objects_table(result: Result, *, scored: bool, estimated: bool) -> ObjectsTable:
    """At most MOST_ROWS objects: of more, those with the lowest DSC or confidence, or else the largest. Those of the
    lowest confidence come first, where there is any, else they are in the order of labels.
    """
    is_volume, in_mm = len(result.shape) == 3, result.spacing is not None
    shown = result.objects
    if len(shown) > MOST_ROWS:
        shown = sorted(shown, key=importance)[:MOST_ROWS]
    shown = sorted(shown, key=lambda one: (2.0 if one.confidence is None else one.confidence, one.label))
    count = len(result.objects)
    return ObjectsTable(
        total=f"{counted(count, 'object')}: {total_text(result)}",
        named=any(one.name not in ("", f"object {one.label}", f"label {one.label}") for one in result.objects),
        confidence_heads=["Confidence (0–1)"] if estimated else [],
        score_heads=["DSC", "NSD"] if scored else [],
        size_heads=size_heads(is_volume=is_volume, in_mm=in_mm),
        rows=[
            ObjectRow(
                label=one.label,
                colour="rgb({} {} {})".format(*label_color(one.label)),
                name=one.name,
                confidence=["" if one.confidence is None else f"{one.confidence:.2f}"] if estimated else [],
                doubtful=one.confidence is not None and one.confidence < DOUBTFUL,
                scores=score_texts(one, scored=scored),
                sizes=size_texts(one, is_volume=is_volume),
            )
            for one in shown
        ],
        left_out=count - len(shown),
    )


def importance(one: ObjectResult) -> tuple[float, float, float]:
    """Return a key to sort by: the lowest DSC first, then the lowest confidence, then the largest object."""
    dsc, confidence = (2.0 if value is None else value for value in (one.dsc, one.confidence))
    return dsc, confidence, -one.measure.count if one.measure else 0.0


def size_heads(*, is_volume: bool, in_mm: bool) -> list[str]:
    if is_volume:
        sizes = ["Volume (ml)", "Volume (mm³)", "Voxels"] if in_mm else ["Voxels"]
        unit = "mm" if in_mm else "voxels"
        return [*sizes, f"Longest diameter ({unit})", f"Longest in a slice ({unit})", "In slices z"]
    sizes = ["Area (mm²)", "Area (pixels)"] if in_mm else ["Area (pixels)"]
    return [*sizes, f"Longest diameter ({'mm' if in_mm else 'pixels'})"]


def score_texts(one: ObjectResult, *, scored: bool) -> list[str]:
    return ["" if score is None else f"{score:.4f}" for score in (one.dsc, one.nsd)] if scored else []


def size_texts(one: ObjectResult, *, is_volume: bool) -> list[str]:
    """Return a text for each of `size_heads`; nothing where the mask is empty."""
    measure = one.measure
    if measure is None:
        return []
    texts = []
    if measure.size is not None:
        texts += [number_text(measure.size / MM3_A_ML, 3)] if is_volume else []
        texts.append(number_text(measure.size, 1))
    texts += [f"{measure.count:,}", number_text(measure.diameter, 1)]
    if is_volume:
        texts += [f"{number_text(measure.slice_diameter, 1)} (z {measure.slice})", f"{measure.first}–{measure.last}"]
    return texts


def number_text(value: float, digits: int) -> str:
    """Return a number with this many digits after the point; by powers of 10 where it is too large or small."""
    if value == 0 or 10.0**-digits / 2 <= value < MOST_WRITTEN:
        return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def total_text(result: Result) -> str:
    """All objects together."""
    measures = [one.measure for one in result.objects if one.measure is not None]
    missing = len(result.objects) - len(measures)
    nothing = f", {missing} without any mask" if missing else ""
    count = sum(measure.count for measure in measures)
    sizes = [measure.size for measure in measures if measure.size is not None]
    is_volume = len(result.shape) == 3
    if sizes and is_volume:
        return f"{number_text(sum(sizes) / MM3_A_ML, 2)} ml{nothing}"
    if sizes:
        return f"{number_text(sum(sizes), 1)} mm²{nothing}"
    return f"{count:,} {'voxels' if is_volume else 'pixels'}{nothing}"


def size_text(result: Result) -> str:
    """For example: 24 × 192 × 256, 5 × 1.4 × 1.4 mm. Empty where the image was not read."""
    size = " × ".join(str(side) for side in result.shape)
    if not size:
        return ""
    if result.spacing is None:
        return f"{size} voxels, spacing not known" if len(result.shape) == 3 else f"{size} pixels"
    return f"{size}, {' × '.join(f'{mm:.4g}' for mm in result.spacing)} mm"
