"""Names of the files that a run leaves beside its results. Those of a shard have its number in their names."""

import re
from dataclasses import dataclass
from pathlib import Path

from repmedsam_infer.shards.shard import MOST_SHARDS, Shard

EFFICIENCY, REPORT, LABELS, JOURNAL = "efficiency.csv", "report.json", "labels.csv", "report.jsonl"


@dataclass(frozen=True)
class RunFiles:
    """Those of a run into `folder`, of every case or of a shard: report.json or report.3-of-16.json, and so on."""

    folder: Path
    shard: Shard | None = None

    @property
    def efficiency(self) -> Path:
        """Seconds a case, as the challenge has them."""
        return self.named(EFFICIENCY)

    @property
    def report(self) -> Path:
        """What is known of the run and of each case, for programs."""
        return self.named(REPORT)

    @property
    def labels(self) -> Path:
        """A row an object, for people."""
        return self.named(LABELS)

    @property
    def journal(self) -> Path:
        """Cases as they are finished; there only while the run is, or after a kill."""
        return self.named(JOURNAL)

    @property
    def all(self) -> tuple[Path, ...]:
        return self.efficiency, self.report, self.labels, self.journal

    def named(self, name: str) -> Path:
        return part_of(self.folder / name, self.shard)


def part_of(path: Path, shard: Shard | None) -> Path:
    """Return a file's path with the shard's number before its ending, scores.csv -> scores.3-of-16.csv; as it is for
    every case.
    """
    return path if shard is None else path.with_name(f"{path.stem}.{shard.index}-of-{shard.count}{path.suffix}")


def parts_of(path: Path) -> list[Shard]:
    """Return the shards that left their part of a file beside it, in order: scores.3-of-16.csv of scores.csv.

    Raises:
        OSError: the folder cannot be listed.

    """
    pattern = re.compile(rf"{re.escape(path.stem)}\.(\d{{1,7}})-of-(\d{{1,7}}){re.escape(path.suffix)}", re.ASCII)
    found = [match for one in path.parent.iterdir() if (match := pattern.fullmatch(one.name))]
    shards = {
        Shard(int(match[1]), int(match[2])) for match in found if 1 <= int(match[1]) <= int(match[2]) <= MOST_SHARDS
    }
    return sorted(shards, key=lambda shard: (shard.count, shard.index))
