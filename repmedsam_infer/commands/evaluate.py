"""What `repmedsam evaluate` does: scores of a folder, as tables for people and rows for programs."""

from dataclasses import dataclass
from pathlib import Path

import typer

from repmedsam_infer.batch.report import read_run
from repmedsam_infer.batch.run_files import REPORT, part_of, parts_of
from repmedsam_infer.commands.merge import named, without_parts
from repmedsam_infer.errors import EXIT_CASE_FAILED, EXIT_OK, UsageError, printable
from repmedsam_infer.evaluation.evaluate import CaseScore, evaluate, table
from repmedsam_infer.evaluation.markdown import markdown
from repmedsam_infer.evaluation.object_sizes import size_table
from repmedsam_infer.evaluation.reliability import Estimate, bins_table, reliability_table
from repmedsam_infer.evaluation.score_csv import read_csv, write_csv
from repmedsam_infer.evaluation.truths import find_truths
from repmedsam_infer.shards.shard import Shard
from repmedsam_infer.system.streams import complain

MOST_NAMES = 10  # of cases that are left out, in the sentence below the table


@dataclass(frozen=True)
class Tables:
    """Which scores and tables are wanted, as of `repmedsam evaluate`."""

    challenge: bool = False
    baselines: bool = False
    sizes: bool = False
    confidence: bool = False


def evaluate_folder(segs: Path, gts: Path, output: Path | None, wanted: Tables, shard: Shard | None = None) -> int:
    """Score `segs` against `gts`: tables, and on stderr what was wrong with single cases; return the exit code.

    With a shard, the cases that are its, and the rows go to a file of its own beside `output`.

    Raises:
        UsageError: a folder is missing or empty, there is no confidence, or `output` cannot be written.

    """
    if wanted.confidence and shard is not None:
        raise UsageError("--confidence is for a whole run: leave out --shard, after `repmedsam report --merge`")
    cases = []
    for case in evaluate(segs, gts, challenge=wanted.challenge, baselines=wanted.baselines, shard=shard):
        cases.append(case)
        if case.error:
            complain(f"warning: {case.error}; {'it is not scored' if case.left_out else 'it scores 0'}")
    typer.echo(markdown(table(cases)))
    if left_out := [case.case for case in cases if case.left_out]:
        typer.echo("\n" + left_out_text(left_out, len(cases)))
    if wanted.sizes and (by_size := size_table(one for case in cases for one in case.objects)):
        typer.echo("\n" + markdown(by_size))
    if output is not None:
        write_scores(part_of(output, shard), cases)
    if wanted.confidence:
        estimates = find_estimates(segs, cases)
        typer.echo("\n" + markdown(reliability_table(estimates)) + "\n\n" + markdown(bins_table(estimates)))
    return EXIT_CASE_FAILED if any(case.error for case in cases) else EXIT_OK


def write_scores(output: Path, cases: list[CaseScore]) -> None:
    try:
        write_csv(output, cases)
    except OSError as error:
        raise UsageError(f"{output} could not be written ({error.strerror})") from error


def merge_scores(output: Path, gts: Path | None) -> int:
    """Join the rows of all shards, which lie beside `output`, into it, and print the table; return the exit code.

    gts: the folder or manifest of all cases, so that those that no shard scored are named; None where that is not to be
        checked.

    Raises:
        UsageError: there are no rows of shards, they cannot be read, or `output` cannot be written.

    """
    try:
        found = parts_of(output)
    except OSError as error:
        raise UsageError(f"the folder {output.parent} cannot be read ({error.strerror})") from error
    if not found:
        raise UsageError(f"there are no scores of shards beside {output}: evaluate --shard I/N -o {output}")
    cases: dict[str, CaseScore] = {}
    twice: list[str] = []
    for shard in found:
        for case in read_csv(part_of(output, shard)):
            twice += [case.case] if case.case in cases else []
            if cases and case.baselines.keys() != next(iter(cases.values())).baselines.keys():
                raise UsageError(f"the scores of shard {shard} have other columns than those before: run it alike")
            if case.case not in cases or cases[case.case].left_out:
                cases[case.case] = case
    missing = [] if gts is None else [one.name for one in find_truths(gts, None) if one.name not in cases]
    merged = [cases[name] for name in sorted(cases)]
    write_scores(output, merged)
    typer.echo(markdown(table(merged)))
    problems = without_parts(found, "scores")
    problems += [f"in the scores of several shards ({len(twice)}): {named(twice)}"] if twice else []
    problems += [f"missing ({len(missing)}): {named(missing)}"] if missing else []
    for problem in problems:
        complain(f"error: {problem}")
    wrong = [case.case for case in merged if case.error]
    if wrong:
        complain(f"warning: scored 0 or left out, {output.name} says why ({len(wrong)}): {named(wrong)}")
    return EXIT_CASE_FAILED if problems or wrong else EXIT_OK


def left_out_text(names: list[str], total: int) -> str:
    """For example: 2 of 30 cases are left out, without ground truth that can be used: a.npz, b.npz."""
    shown = ", ".join(printable(name) for name in names[:MOST_NAMES])
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    are = "is" if len(names) == 1 else "are"
    return f"{len(names)} of {total} cases {are} left out, without ground truth that can be used: {shown}{more}."


def find_estimates(segs: Path, cases: list[CaseScore]) -> list[Estimate]:
    """Return the confidence in report.json of each object that was scored.

    Raises:
        UsageError: there is none.

    """
    reports = read_run(segs).cases
    estimates: list[Estimate] = []
    for case in cases:
        scored = {one.label: one.dsc for one in case.objects if one.size}
        estimates.extend(
            Estimate(case.modality, one.confidence, scored[one.label])
            for one in (reports[case.case].objects if case.case in reports else ())
            if one.confidence is not None and one.label in scored
        )
    if not estimates:
        raise UsageError(f"there is no confidence in {segs / REPORT}: is it the folder that predict wrote to?")
    return estimates
