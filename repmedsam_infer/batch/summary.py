"""What a run says at its end: which cases took longest, and which are the first to check."""

from collections.abc import Sequence

from repmedsam_infer.batch.report import CaseReport
from repmedsam_infer.errors import printable

FEW = 4  # cases that need no summary
MOST_NAMED = 3
MOST_CHARACTERS = 60  # of a case's or an object's name


def summary(reports: Sequence[CaseReport]) -> list[str]:
    """Return lines for a person; none for a few cases."""
    done = [report for report in reports if report.status == "ok"]
    if len(done) <= FEW:
        return []
    slowest = sorted(done, key=lambda report: -report.seconds)[:MOST_NAMED]
    lines = ["slowest: " + ", ".join(f"{short(report.case)} {report.seconds:.2f} s" for report in slowest)]
    unsure = [
        (one.confidence, report.case, one.label, one.name)
        for report in done
        for one in sorted(report.objects, key=lambda one: 1.0 if one.confidence is None else one.confidence)[:1]
        if one.confidence is not None
    ]
    if unsure:
        least = ", ".join(
            f"{short(case)} label {label}{'' if name == f'object {label}' else f' {short(name)}'} ({confidence:.2f})"
            for confidence, case, label, name in sorted(unsure)[:MOST_NAMED]
        )
        lines.append(f"least sure: {least}")
    return lines


def short(name: str) -> str:
    return printable(name, MOST_CHARACTERS)
