"""What times of precisions mean, in words: which to take for pictures and for volumes, and how to keep that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median

from repmedsam_infer.engines.precision import KINDS, VARIABLE, Choice, Precision
from repmedsam_infer.evaluation.markdown import markdown

ALIKE = 1.05  # whole processes whose times differ by less are called equal
FASTER_STILL = 1.15  # worth a word where networks stay loaded
MEAN_AGREEMENT, WORST_AGREEMENT = 0.99, 0.9  # DSC with masks in fp32: below either a precision is not taken
UNSTEADY = 1.5  # the longest time of a precision over its median


@dataclass
class Measured:
    """One precision on cases of one of KINDS.

    Values a round: seconds of a whole process, and of the cases in one that has loaded its networks; agreement has the
    DSC of each object's mask with its mask in fp32.
    """

    kind: str
    precision: Precision
    whole_seconds: list[float] = field(default_factory=list)
    case_seconds: list[float] = field(default_factory=list)
    agreement: list[float] = field(default_factory=list)

    @property
    def whole(self) -> float:
        return median(self.whole_seconds)

    @property
    def alone(self) -> float:
        return median(self.case_seconds)

    @property
    def right(self) -> bool:
        """Whether its masks are those in fp32, but for a few pixels."""
        return not self.agreement or (mean(self.agreement) >= MEAN_AGREEMENT and min(self.agreement) >= WORST_AGREEMENT)


def table(measured: Sequence[Measured], automatic: Mapping[str, Choice]) -> str:
    """Medians as a Markdown table."""
    rows = []
    for one in measured:
        mark = " (auto)" if automatic[one.kind].precision == one.precision else ""
        same = one.precision == "fp32" or not one.agreement
        rows.append(
            {
                "": f"{one.kind}, {one.precision}{mark}",
                "whole process, s": f"{one.whole:.2f}",
                "loaded before, s": f"{one.alone:.3f}",
                "masks as in fp32, mean DSC": "" if same else f"{mean(one.agreement):.4f}",
                "worst": "" if same else f"{min(one.agreement):.4f}",
            }
        )
    return markdown(rows)


def advice(measured: Sequence[Measured], automatic: Mapping[str, Choice]) -> list[str]:
    """Return lines: what to take for each kind, what auto takes, by how much they differ, and how to keep it."""
    lines, take = [], {kind: choice.precision for kind, choice in automatic.items()}
    for kind in KINDS:
        of_kind = [one for one in measured if one.kind == kind]
        if not of_kind:
            continue
        best, line = taken(of_kind, automatic[kind])
        lines.append(f"{kind}: {line}")
        lines += [
            f"{kind}: {one.precision} is not for use here: its masks differ from those in fp32"
            for one in of_kind
            if not one.right
        ]
        quickest = min((one for one in of_kind if one.right), key=lambda one: one.alone)
        if quickest.alone * FASTER_STILL < best.alone:
            lines.append(
                f"{kind}: where networks stay loaded (many cases, app, serve) {quickest.precision} is faster still: "
                f"{quickest.alone:.3f} s instead of {best.alone:.3f}"
            )
        take[kind] = best.precision
    if any(precision != automatic[kind].precision for kind, precision in take.items()):
        named = ",".join(f"{kind}={precision}" for kind, precision in take.items())
        lines.append(f"To keep that, set the environment variable {VARIABLE} to {named}")
    if any(max(one.whole_seconds) > UNSTEADY * one.whole for one in measured):
        lines.append("Times differed much from round to round: other programs run on this machine; measure again.")
    return lines


def taken(of_kind: Sequence[Measured], automatic: Choice) -> tuple[Measured, str]:
    """Return what to take for one kind, and that in words; auto's choice where nothing is clearly faster."""
    best = min((one for one in of_kind if one.right), key=lambda one: one.whole)
    ours = next((one for one in of_kind if one.precision == automatic.precision), None)
    if ours is None:
        return best, f"take {best.precision}; auto takes {automatic.precision}, which does not run here"
    if not ours.right:
        return best, f"take {best.precision}; auto takes {automatic.precision}, whose masks differ from those in fp32"
    if ours.whole <= best.whole * ALIKE:
        others = [f"{one.precision} {one.whole:.2f} s" for one in of_kind if one is not ours]
        beside = f" ({', '.join(others)})" if others else ""
        return ours, f"take {ours.precision}, as auto does: {ours.whole:.2f} s{beside}"
    less = round(100 * (1 - best.whole / ours.whole))
    return best, (
        f"take {best.precision} instead of {ours.precision}, which auto takes: {best.whole:.2f} s instead of "
        f"{ours.whole:.2f}, {less} % less"
    )
