"""The table of one case's objects on a report's page as text: how large each is, how well it was scored."""

from dataclasses import dataclass

from repmedsam_infer.report_page.results import ObjectResult, Result

MOST_ROWS = 500  # objects of a case that are listed
MM3_A_ML = 1000


@dataclass(frozen=True)
class ObjectRow:
    """One object. scores: DSC and NSD, or nothing; sizes: a text a column, nothing where the mask is empty."""

    label: int
    scores: list[str]
    sizes: list[str]


@dataclass(frozen=True)
class ObjectsTable:
    """The objects of one case.

    total: all of them together, in words.
    score_heads, size_heads: the words above the columns of scores and of sizes.
    left_out: how many objects have no row.
    """

    total: str
    score_heads: list[str]
    size_heads: list[str]
    rows: list[ObjectRow]
    left_out: int


def objects_table(result: Result, *, scored: bool) -> ObjectsTable:
    """At most MOST_ROWS objects: of more, those with the lowest DSC, or else the largest. In the order of labels."""
    is_volume, in_mm = len(result.shape) == 3, result.spacing is not None
    shown = result.objects
    if len(shown) > MOST_ROWS:
        shown = sorted(sorted(shown, key=importance)[:MOST_ROWS], key=lambda one: one.label)
    count = len(result.objects)
    return ObjectsTable(
        total=f"{count} object{'s' if count > 1 else ''}: {total_text(result)}",
        score_heads=["DSC", "NSD"] if scored else [],
        size_heads=size_heads(is_volume=is_volume, in_mm=in_mm),
        rows=[
            ObjectRow(one.label, score_texts(one, scored=scored), size_texts(one, is_volume=is_volume, in_mm=in_mm))
            for one in shown
        ],
        left_out=count - len(shown),
    )


def importance(one: ObjectResult) -> tuple[float, float]:
    """Return a key to sort by: the lowest DSC first, then the largest object."""
    return 2.0 if one.dsc is None else one.dsc, -one.measure.count if one.measure else 0.0


def size_heads(*, is_volume: bool, in_mm: bool) -> list[str]:
    if is_volume:
        sizes = ["Volume (ml)", "Volume (mm³)", "Voxels"] if in_mm else ["Voxels"]
        return [*sizes, "Diameter", "Diameter in a slice", "Slices"]
    sizes = ["Area (mm²)", "Area (pixels)"] if in_mm else ["Area (pixels)"]
    return [*sizes, "Diameter"]


def score_texts(one: ObjectResult, *, scored: bool) -> list[str]:
    return ["" if score is None else f"{score:.4f}" for score in (one.dsc, one.nsd)] if scored else []


def size_texts(one: ObjectResult, *, is_volume: bool, in_mm: bool) -> list[str]:
    """Return a text for each of `size_heads`; nothing where the mask is empty."""
    measure, unit = one.measure, " mm" if in_mm else " px"
    if measure is None:
        return []
    texts = []
    if measure.size is not None:
        texts += [f"{measure.size / MM3_A_ML:,.3f}"] if is_volume else []
        texts += [f"{measure.size:,.1f}"]
    texts += [f"{measure.count:,}", f"{measure.diameter:,.1f}{unit}"]
    if is_volume:
        texts += [f"{measure.slice_diameter:,.1f}{unit} (z {measure.slice})", f"{measure.first}–{measure.last}"]
    return texts


def total_text(result: Result) -> str:
    """All objects together."""
    measures = [one.measure for one in result.objects if one.measure is not None]
    missing = len(result.objects) - len(measures)
    nothing = f", {missing} without any mask" if missing else ""
    count = sum(measure.count for measure in measures)
    sizes = [measure.size for measure in measures if measure.size is not None]
    is_volume = len(result.shape) == 3
    if sizes and is_volume:
        return f"{sum(sizes) / MM3_A_ML:,.2f} ml{nothing}"
    if sizes:
        return f"{sum(sizes):,.1f} mm²{nothing}"
    return f"{count:,} {'voxels' if is_volume else 'pixels'}{nothing}"


def size_text(result: Result) -> str:
    """For example: 24 × 192 × 256, 5 × 1.4 × 1.4 mm. Empty where the image was not read."""
    size = " × ".join(str(side) for side in result.shape)
    if not size:
        return ""
    if result.spacing is None:
        return f"{size} voxels, spacing not known" if len(result.shape) == 3 else f"{size} pixels"
    return f"{size}, {' × '.join(f'{mm:.4g}' for mm in result.spacing)} mm"
