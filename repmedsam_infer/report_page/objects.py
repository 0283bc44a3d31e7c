"""The table of one case's objects on a report's page: how large each is, how well it was scored."""

from repmedsam_infer.report_page.charts import in_order, seconds_text
from repmedsam_infer.report_page.markup import Html, tag
from repmedsam_infer.report_page.results import ObjectResult, Result

MOST_ROWS = 500  # objects of a case that are listed
MM3_A_ML = 1000


def objects_table(result: Result, scored: bool) -> Html:
    """Folded: the objects, and time by stage. Of more than MOST_ROWS, those that scored worst, or else the largest."""
    is_volume, in_mm = len(result.shape) == 3, result.spacing is not None
    heads = ["Label", *(["DSC", "NSD"] if scored else []), *size_heads(is_volume, in_mm), "Diameter"]
    heads += ["Diameter in a slice", "Slices"] if is_volume else []
    shown = result.objects
    if len(shown) > MOST_ROWS:
        shown = sorted(sorted(shown, key=importance)[:MOST_ROWS], key=lambda one: one.label)
    rows = [tag("tr", object_cells(one, is_volume, in_mm, scored)) for one in shown]
    left_out = len(result.objects) - len(shown)
    times = ", ".join(f"{stage} {seconds_text(seconds)}" for stage, seconds in in_order(result.report.stages))
    count = len(result.objects)
    table = tag("table", tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])), tag("tbody", rows))
    return tag(
        "details",
        tag("summary", f"{count} object{'s' if count > 1 else ''}: {total_text(result)}"),
        tag("div", table, class_="scroll", tabindex=0),
        tag("p", f"{left_out} more are not listed.") if left_out else None,
        tag("p", f"Time: {times}.", class_="times") if times else None,
    )


def importance(one: ObjectResult) -> tuple[float, float]:
    return 2.0 if one.dsc is None else one.dsc, -one.measure.count if one.measure else 0.0


def size_heads(is_volume: bool, in_mm: bool) -> list[str]:
    if not is_volume:
        return ["Area (mm²)", "Area (pixels)"] if in_mm else ["Area (pixels)"]
    return ["Volume (ml)", "Volume (mm³)", "Voxels"] if in_mm else ["Voxels"]


def object_cells(one: ObjectResult, is_volume: bool, in_mm: bool, scored: bool) -> list[Html]:
    """A row's cells; nothing but dashes where nothing is marked."""
    measure, unit = one.measure, " mm" if in_mm else " px"
    if measure is None:
        columns = len(size_heads(is_volume, in_mm)) + (3 if is_volume else 1)
        cells = [tag("td", "nothing marked", class_="nothing", colspan=columns)]
    else:
        texts = []
        if measure.size is not None:
            texts += [f"{measure.size / MM3_A_ML:,.3f}"] if is_volume else []
            texts += [f"{measure.size:,.1f}"]
        texts += [f"{measure.count:,}", f"{measure.diameter:,.1f}{unit}"]
        if is_volume:
            texts += [f"{measure.slice_diameter:,.1f}{unit} (z {measure.slice})", f"{measure.first}–{measure.last}"]
        cells = [tag("td", text) for text in texts]
    scores = [tag("td", "" if score is None else f"{score:.4f}") for score in (one.dsc, one.nsd)] if scored else []
    return [tag("th", one.label, scope="row"), *scores, *cells]


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
    """For example: 24 × 192 × 256, 5 × 1.4 × 1.4 mm."""
    size = " × ".join(str(side) for side in result.shape)
    if result.spacing is None:
        return f"{size} voxels, spacing not known" if len(result.shape) == 3 else f"{size} pixels"
    return f"{size}, {' × '.join(f'{mm:.4g}' for mm in result.spacing)} mm"
