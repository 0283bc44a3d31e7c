"""What to do with a folder of cases. Light: networks begin to be loaded before anything else is imported."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repmedsam_infer.batch.runner import Task


@dataclass(frozen=True)
class Job:
    """What to do with a folder: inputs to outputs. Zoom and propagation are as in `repmedsam predict`, not checked."""

    inputs: Path
    outputs: Path
    overwrite: bool = False
    resume: bool = False
    overlays: Path | None = None
    zoom: str = "auto"
    propagation: str = "ellipsoid"

    def task(self, path: Path) -> "Task":
        """Return what becomes of the case at `path`."""
        from repmedsam_infer.batch.runner import Task

        overlay = None if self.overlays is None else self.overlays / f"{path.stem}.png"
        return Task(path, self.outputs / path.name, overlay)
