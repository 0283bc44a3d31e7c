"""Which ground truth is scored against which segmentation: that of a folder, or of a manifest's cases."""

from pathlib import Path
from typing import NamedTuple

from repmedsam_infer.io.case_files import find_cases, is_manifest
from repmedsam_infer.shards.manifest import COLUMNS, GTS, read_manifest
from repmedsam_infer.shards.shard import Shard


class Truth(NamedTuple):
    """The npz that holds the ground truth (gts), and the case's name: where its segmentation is in their folder."""

    path: Path
    name: str


def find_truths(gts: Path, shard: Shard | None) -> list[Truth]:
    """Return those of the shard, all of them without one.

    Args:
        gts: a folder of npz; or a manifest, of whose cases the column gts names the npz, or that of the image holds it.
        shard: None for all.

    Raises:
        UsageError: folder or manifest cannot be read, or hold no case.

    """
    if not is_manifest(gts):
        return [Truth(path, path.name) for path in find_cases(gts) if shard is None or shard.holds(path.name)]
    rows = read_manifest(gts, COLUMNS, shard)
    return [Truth(gts.parent / row.options[GTS] if GTS in row.options else row.image, row.name) for row in rows]
