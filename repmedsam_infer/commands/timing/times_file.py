"""Every single time that was taken, and on which machine, as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from repmedsam_infer.batch.report import rounded
from repmedsam_infer.commands.environment import describe
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.atomic import write_atomic

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def write_times(path: Path, times: "Sequence[DataclassInstance]", weights: Weights) -> None:
    """Write them. Raise UsageError where the file cannot be written."""
    content = {"machine": describe(weights.folder), "times": [rounded(asdict(one)) for one in times]}
    try:
        write_atomic(path, (json.dumps(content, indent=2) + "\n").encode())
    except OSError as error:
        raise UsageError(f"{path} could not be written ({error.strerror})") from error
