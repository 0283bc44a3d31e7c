"""What to do with many npz cases. Light: networks begin to be loaded before anything else is imported."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from repmedsam_infer.io.case_files import find_cases, is_manifest

if TYPE_CHECKING:
    from repmedsam_infer.batch.run_files import RunFiles
    from repmedsam_infer.batch.runner import Task
    from repmedsam_infer.shards.shard import Shard


class InputCase(NamedTuple):
    """One case: its npz, and where in the folder of results its label map goes, if a manifest says so."""

    path: Path
    output: str = ""


@dataclass(frozen=True)
class Job:
    """What to do: cases of a folder or manifest to `outputs`. Zoom and propagation are as in `repmedsam predict`, not
    checked. shard: which of the cases are this process's; None for all.
    """

    inputs: Path
    outputs: Path
    overwrite: bool = False
    resume: bool = False
    overlays: Path | None = None
    zoom: str = "auto"
    propagation: str = "ellipsoid"
    shard: "Shard | None" = None

    def find(self) -> list[InputCase]:
        """Return this process's cases, in order of name; none where others have them all.

        Raises:
            UsageError: folder or manifest cannot be read, or hold no case.

        """
        if is_manifest(self.inputs):
            from repmedsam_infer.shards.manifest import find_listed

            return [InputCase(row.image, row.output) for row in find_listed(self.inputs, self.shard)]
        paths = find_cases(self.inputs)
        return [InputCase(path) for path in paths if self.shard is None or self.shard.holds(path.name)]

    def task(self, case: InputCase) -> "Task":
        """Return what becomes of a case."""
        from repmedsam_infer.batch.runner import Task

        place = PurePosixPath(case.output or case.path.name)
        overlay = None if self.overlays is None else self.overlays / place.with_suffix(".png")
        return Task(case.path, self.outputs / place, overlay, case.output)

    @property
    def files(self) -> "RunFiles":
        """What the run leaves beside its results."""
        from repmedsam_infer.batch.run_files import RunFiles

        return RunFiles(self.outputs, self.shard)
