"""The reports of a run whose shards were done apart, written as those of one run: `repmedsam report --merge`."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import typer

from repmedsam_infer.batch.label_table import table_head, table_rows
from repmedsam_infer.batch.report import CaseReport, as_json, json_bytes, read_report
from repmedsam_infer.batch.result_files import MOST_BYTES, efficiency_bytes, is_foreign
from repmedsam_infer.batch.run_files import RunFiles
from repmedsam_infer.commands.merge import Merged, named, read_merged
from repmedsam_infer.errors import EXIT_CASE_FAILED, EXIT_OK, SetupError, UsageError
from repmedsam_infer.io.atomic import sweep_all, write_parts_atomic
from repmedsam_infer.system.streams import complain


def merge_reports(folder: Path, inputs: Path | None) -> int:
    """Join the reports of shards into report.json, efficiency.csv and labels.csv, and say what is wrong with the whole.

    Returns the exit code. Arguments as of `read_merged`; whatever is incomplete, the files are written.

    Raises:
        UsageError: as `read_merged`.
        SetupError: a file cannot be written.

    """
    merged = read_merged(folder, inputs)
    write_merged(folder, merged)
    counts = merged.counts
    shards = len({one.shard for one in merged.cases.values()})
    typer.echo(
        f"{len(merged.cases)} cases of {shards} shards: {', '.join(f'{n} {kind}' for kind, n in counts.items())}"
    )
    for sentence in merged.disagreements:
        complain(f"warning: {sentence}")
    for sentence in merged.unfinished:
        complain(f"error: {sentence}")
    for what, names in (
        ("failed", merged.failed),
        ("in the reports of several shards", merged.twice),
        ("missing", merged.missing),
    ):
        if names:
            complain(f"error: {what} ({len(names)}): {named(names)}")
    return EXIT_OK if merged.is_complete else EXIT_CASE_FAILED


def write_merged(folder: Path, merged: Merged) -> None:
    """Write the three files. Raise UsageError or SetupError where one cannot be written."""
    whole = RunFiles(folder)
    if is_foreign(whole.labels):
        raise UsageError(f"{whole.labels} is already there, and no table of ours: move it away")
    sweep_all(whole.all)
    try:
        write_parts_atomic(whole.efficiency, lambda: [efficiency_bytes(merged.seconds)])
        write_parts_atomic(whole.labels, lambda: label_parts(folder, merged))
        write_parts_atomic(whole.report, lambda: report_parts(folder, merged))
    except OSError as error:
        raise SetupError(f"the joined reports could not be written to {folder} ({error.strerror})") from error


def reports_of(folder: Path, merged: Merged) -> Iterator[CaseReport]:
    """Return the report that is taken of each case; those of one shard are in memory at a time.

    Raises:
        UsageError: a shard's report is another one by now.

    """
    taken = Counter(one.shard for one in merged.cases.values())
    for shard in sorted(taken, key=lambda one: (one.count, one.index)):
        reports = read_report(RunFiles(folder, shard).report, MOST_BYTES).cases
        still = [name for name in reports if name in merged.cases and merged.cases[name].shard == shard]
        if len(still) != taken[shard]:
            raise UsageError(f"the report of shard {shard} changed while reports were joined: run this again")
        yield from (reports[name] for name in still)


def label_parts(folder: Path, merged: Merged) -> Iterator[bytes]:
    yield table_head()
    for report in reports_of(folder, merged):
        yield table_rows([report])


def report_parts(folder: Path, merged: Merged) -> Iterator[bytes]:
    """Return a report.json, a case a line; beside what a run says, the names of cases that are wrong."""
    wrong = {"missing": merged.missing, "twice": merged.twice, "unfinished": merged.unfinished}
    head = {**merged.setting, "merged": wrong, "counts": merged.counts}
    yield json_bytes(head, indent=2).removesuffix(b"\n}") + b',\n  "cases": ['
    between = b"\n    "
    for report in reports_of(folder, merged):
        yield between + json_bytes(as_json(report))
        between = b",\n    "
    yield b"\n  ]\n}\n"
