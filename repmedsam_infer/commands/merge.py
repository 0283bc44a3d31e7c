"""What the reports of all shards of a run say together, and what is missing in them."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from repmedsam_infer.batch.report import STATUSES, CaseReport, read_efficiency, read_report
from repmedsam_infer.batch.result_files import MOST_BYTES
from repmedsam_infer.batch.run_files import JOURNAL, REPORT, RunFiles, parts_of
from repmedsam_infer.errors import UsageError, printable
from repmedsam_infer.io.case_files import find_cases, is_manifest
from repmedsam_infer.shards.manifest import COLUMNS, read_manifest
from repmedsam_infer.shards.shard import Shard
from repmedsam_infer.system.streams import complain

STATUSES_BY_WORTH = ("ok", "skipped", "failed")  # from what says most of a case
MOST_NAMED = 10  # in one sentence
OF_ONE_SHARD = ("shard", "counts", "stopped_by", "load_seconds")  # of a setting: not of the whole run
SHOULD_AGREE = ("repmedsam", "weights", "engine")  # of a setting: otherwise results are not of one kind


class Taken(NamedTuple):
    """Of a case: the shard whose report of it is taken, its status there, and whether its label map is there."""

    shard: Shard
    status: str
    there: bool


@dataclass
class Merged:
    """What the reports of shards say together.

    cases: by name.
    twice: names of cases that several shards report on.
    not_done: names of cases that no shard reports on.
    unfinished: what is wrong with whole shards, a sentence each.
    disagreements: what shards were done with that differs, a sentence each.
    setting: of the run, for report.json.
    seconds: of each case, for efficiency.csv.
    """

    cases: dict[str, Taken] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)
    setting: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(one.status for one in self.cases.values())
        return {status: found[status] for status in STATUSES}

    @property
    def failed(self) -> list[str]:
        return [name for name, one in self.cases.items() if one.status == "failed"]

    @property
    def missing(self) -> list[str]:
        """Names of cases that no shard did, or whose label map is gone."""
        gone = [name for name, one in self.cases.items() if one.status != "failed" and not one.there]
        return self.not_done + gone

    @property
    def is_complete(self) -> bool:
        """Whether every case is there once and did not fail."""
        return not (self.failed or self.twice or self.missing or self.unfinished)


def read_merged(folder: Path, inputs: Path | None) -> Merged:
    """Read the reports of all shards that are in `folder`.

    Args:
        folder: that the shards wrote to.
        inputs: the folder or manifest whose cases should be there; None where that is not to be checked.

    Raises:
        UsageError: there are no reports of shards, or inputs cannot be read.

    """
    expected = None if inputs is None else expected_names(inputs)
    merged = read_shards(folder)
    if expected is not None:
        merged.not_done += sorted(expected - merged.cases.keys())
    return merged


def expected_names(inputs: Path) -> set[str]:
    """Raise UsageError where the folder or manifest cannot be read."""
    if is_manifest(inputs):
        return {row.name for row in read_manifest(inputs, COLUMNS, None)}
    if inputs.is_dir() and not any(path.suffix == ".npz" for path in inputs.iterdir()):
        complain(f"note: there are no npz cases in {inputs}, so images that no shard did are not named")
        return set()
    return {path.name for path in find_cases(inputs)}


def read_shards(folder: Path) -> Merged:
    """Raise UsageError where there are no reports of shards in the folder."""
    try:
        reported, running = (parts_of(folder / name) for name in (REPORT, JOURNAL))
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be read ({error.strerror})") from error
    if not reported and not running:
        raise UsageError(f"there are no reports of shards in {folder}: it is the folder that they wrote to (-o)")
    merged = Merged(unfinished=unfinished(reported, running))
    settings: dict[Shard, dict[str, Any]] = {}
    exists = listing_of(folder)
    for shard in reported:
        files = RunFiles(folder, shard)
        try:
            run = read_report(files.report, MOST_BYTES)
        except UsageError as error:
            merged.unfinished.append(str(error))
            continue
        settings[shard] = run.setting
        if "stopped_by" in run.setting:
            merged.unfinished.append(f"shard {shard} was stopped by {run.setting['stopped_by']}: run it again")
        for report in run.cases.values():
            add(merged, shard, report, there=exists(report.output or report.case))
        merged.seconds |= read_efficiency(files.efficiency)
    merged.disagreements = disagreements(settings)
    merged.setting = joined_setting(settings)
    return merged


def add(merged: Merged, shard: Shard, report: CaseReport, *, there: bool) -> None:
    """Take a case of a shard; of one that several report on, a report that says most: ok, skipped, failed."""
    before = merged.cases.get(report.case)
    if before is not None:
        merged.twice.append(report.case)
    if before is None or STATUSES_BY_WORTH.index(report.status) < STATUSES_BY_WORTH.index(before.status):
        merged.cases[report.case] = Taken(shard, report.status, there)


def unfinished(reported: Iterable[Shard], running: Iterable[Shard]) -> list[str]:
    """Return what whole shards lack, by the reports and journals that they left."""
    sentences = [f"shard {shard} runs still, or was killed: run it again with --resume" for shard in running]
    return without_parts({*reported, *running}, "report") + sentences


def without_parts(found: Iterable[Shard], what: str) -> list[str]:
    """Return which shards left no file, in a sentence; another where files are of runs in several numbers of shards."""
    there = set(found)
    counts = sorted({shard.count for shard in there})
    if len(counts) > 1:
        runs = " and in ".join(map(str, counts))
        return [f"there is a {what} of runs in {runs} shards: remove the files of those that are not meant (*-of-N.*)"]
    without = [f"{i}/{count}" for count in counts for i in range(1, count + 1) if Shard(i, count) not in there]
    return [f"no {what} of shard {named(without)}: run it, and then this again"] if without else []


def listing_of(folder: Path) -> Callable[[str], bool]:
    """Return what says whether a result is in the folder; each folder in it is listed once."""

    @cache
    def names(place: Path) -> frozenset[str]:
        try:
            with os.scandir(place) as entries:
                return frozenset(entry.name for entry in entries if entry.is_file())
        except (OSError, ValueError):  # the latter of a name that can be none
            return frozenset()

    return lambda output: Path(output).name in names((folder / output).parent)


def disagreements(settings: Mapping[Shard, Mapping[str, Any]]) -> list[str]:
    """Return what shards were done with that should be the same in all, and is not."""
    values: dict[str, dict[str, list[Shard]]] = {}
    for shard, setting in settings.items():
        for key in SHOULD_AGREE:
            for name, value in flat(key, setting.get(key)):
                values.setdefault(name, {}).setdefault(value, []).append(shard)
    sentences = []
    for name, by_value in values.items():
        if len(by_value) > 1:
            kinds = "; ".join(f"{value} in {named(map(str, shards))}" for value, shards in by_value.items())
            sentences.append(f"shards were done with different {name}: {kinds}")
    return sentences


def flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Return values that are not objects, by names like engine precision pictures; none of what is not there."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(f"{name} {key}", inner)
    elif value is not None:
        yield name, str(value)


def joined_setting(settings: Mapping[Shard, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what report.json says of the whole run: the first shard's words, when all began, the largest memory."""
    if not settings:
        return {}
    first = next(iter(settings.values()))
    joined = {key: value for key, value in first.items() if key not in OF_ONE_SHARD}
    started = [str(one["started"]) for one in settings.values() if one.get("started")]
    peaks = [one["peak_memory_mib"] for one in settings.values() if isinstance(one.get("peak_memory_mib"), int | float)]
    if started:
        joined["started"] = min(started)
    if peaks:
        joined["peak_memory_mib"] = max(peaks)
    stopped = next((one["stopped_by"] for one in settings.values() if "stopped_by" in one), None)
    return joined if stopped is None else {**joined, "stopped_by": stopped}


def named(names: Iterable[str]) -> str:
    """Return names with commas between; of many the first, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return ", ".join(map(printable, listed[:MOST_NAMED])) + more
