"""What `repmedsam evaluate` does: scores of a folder, as tables for people and rows for programs."""

import math
from collections.abc import Callable
from pathlib import Path

from repmedsam_infer.errors import EXIT_CASE_FAILED, EXIT_OK, UsageError
from repmedsam_infer.evaluation.evaluate import evaluate, table, write_csv
from repmedsam_infer.evaluation.markdown import markdown
from repmedsam_infer.evaluation.object_sizes import size_table


def evaluate_folder(
    segs: Path,
    gts: Path,
    output: Path | None,
    *,
    challenge: bool,
    baselines: bool,
    sizes: bool,
    show: Callable[[str], None],
    warn: Callable[[str], None],
) -> int:
    """Score `segs` against `gts`; returns the exit code. Options as of `repmedsam evaluate`.

    `show` gets the tables, `warn` what was wrong with single cases.

    Raises:
        UsageError: a folder is missing or empty, or `output` cannot be written.

    """
    cases = []
    for case in evaluate(segs, gts, challenge=challenge, baselines=baselines):
        cases.append(case)
        if case.error:
            warn(f"warning: {case.error}; {'it is not scored' if math.isnan(case.score.dsc) else 'it scores 0'}")
    show(markdown(table(cases)))
    if sizes:
        show("\n" + markdown(size_table(one for case in cases for one in case.objects)))
    if output is not None:
        try:
            write_csv(output, cases)
        except OSError as error:
            raise UsageError(f"{output} could not be written ({error.strerror})") from error
    return EXIT_CASE_FAILED if any(case.error for case in cases) else EXIT_OK
