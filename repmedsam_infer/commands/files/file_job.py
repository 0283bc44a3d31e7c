"""What `repmedsam segment` is to do: inputs, their boxes, and where each label map goes; checked before it begins."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repmedsam_infer.batch.label_table import is_table
from repmedsam_infer.batch.run import check_no_folder_is_a_file, make_writable_folder
from repmedsam_infer.batch.run_files import LABELS, RunFiles
from repmedsam_infer.batch.runner import Task, check_new, check_table
from repmedsam_infer.commands.files.reading import Reading
from repmedsam_infer.errors import UsageError
from repmedsam_infer.formats.boxes.source import BoxSource
from repmedsam_infer.formats.endings import OUTPUTS, ending_of, name_of, own_ending
from repmedsam_infer.formats.names.itksnap import description_path, is_description, may_be_described
from repmedsam_infer.preprocess import Zoom
from repmedsam_infer.segmentation.propagation import Propagation
from repmedsam_infer.shards.manifest import check_reads_none_of
from repmedsam_infer.shards.shard import Shard


@dataclass(frozen=True)
class FileInput:
    """An image, a file or a folder of a DICOM series; its boxes, how it is to be understood, and where in the folder of
    results a manifest puts its label map, if it says so.
    """

    path: Path
    boxes: BoxSource
    reading: Reading
    output: str = ""


@dataclass(frozen=True, kw_only=True)
class FileTask(Task):
    """One of them, and what is to become of it."""

    boxes: BoxSource
    reading: Reading


@dataclass(frozen=True)
class FileJob:
    """What to do: inputs to a file or a folder.

    ending: of label maps in a folder; empty for each input's own kind.
    shard: which of the inputs are done; None for all. With one, or with a manifest, the output is a folder.
    manifest: that the inputs are of; its rows are those of the shard already.
    """

    inputs: Sequence[FileInput]
    output: Path
    ending: str = ""
    overlays: Path | None = None
    overwrite: bool = False
    zoom: Zoom = "auto"
    propagation: Propagation = "ellipsoid"
    resume: bool = False
    shard: Shard | None = None
    manifest: Path | None = None

    def task(self, one: FileInput, target: Path) -> FileTask:
        """Return what becomes of an input."""
        overlay = None
        if self.overlays is not None:
            picture = f"{name_of(target)}.png"
            overlay = self.overlays / Path(one.output).with_name(picture) if one.output else self.overlays / picture
        return FileTask(one.path, target, overlay, one.output, boxes=one.boxes, reading=one.reading)

    @property
    def files(self) -> RunFiles:
        """What the run leaves beside its results where the output is a folder."""
        return RunFiles(self.output, self.shard)

    @property
    def table(self) -> Path:
        """Where the table of objects goes where the output is one file."""
        return self.output.with_name(f"{name_of(self.output)}.{LABELS}")


def tasks_of(job: FileJob) -> tuple[list[FileTask], RunFiles | None]:
    """Return what becomes of each input, and the files of the run, None where the output is no folder; after making
    sure that the run can start.

    Raises:
        UsageError: an ending that cannot be written, two results of one name, or files that would be lost.
        SetupError: the folder cannot be written.

    """
    is_folder = goes_into_folder(job)
    if job.shard is not None and not is_folder:
        raise UsageError(f"the results of a shard go into a folder, and {job.output} is a file's name; name a folder")
    targets = [job.output / target for target in named_targets(job)] if is_folder else [checked_file(job)]
    check_written_once(targets)  # of all shards
    tasks = list(map(job.task, job.inputs, targets))
    if job.shard is not None and job.manifest is None:
        tasks = [task for task in tasks if job.shard.holds(task.name)]
        targets = [task.target for task in tasks]
    overlays = [task.overlay for task in tasks if task.overlay is not None]
    beside = job.files.all if is_folder else (job.table,)
    described = [target for target in targets if may_be_described(target)]
    check_written_once((*targets, *overlays, *beside))
    check_nothing_read_is_replaced(job, (*targets, *overlays, *beside, *map(description_path, described)))
    if is_folder:
        check_new(tasks, overwrite=job.overwrite, resume=job.resume)
        check_table(job.files.labels, overwrite=job.overwrite)
    else:
        check_new_file(job, overlays)
    foreign = [p for p in map(description_path, described) if os.path.lexists(p) and not is_description(p)]
    if foreign and not job.overwrite:
        raise UsageError(f"{foreign[0]} is already there, and no file of ours: use --overwrite to replace it")
    folders = {path.parent for path in (*targets, *overlays)} | {job.output if is_folder else job.output.parent}
    for folder in sorted(folders | ({job.overlays} if job.overlays else set())):
        make_writable_folder(folder)
    return tasks, job.files if is_folder else None


def goes_into_folder(job: FileJob) -> bool:
    if job.manifest is not None and ending_of(job.output) and not job.output.is_dir():
        raise UsageError(
            f"the results of a manifest go into a folder, and {job.output} is a file's name; name a folder"
        )
    return job.output.is_dir() or not ending_of(job.output)


def check_written_once(paths: Sequence[Path]) -> None:
    twice = next((path for path, count in Counter(map(os.path.abspath, paths)).items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"two results would be written to {twice}; name folders of their own")


def check_nothing_read_is_replaced(job: FileJob, written: Sequence[Path]) -> None:
    # realpath: resolve() raises an error where links lead in a circle.
    read = (path for one in job.inputs for path in (one.path, one.boxes.file, one.boxes.labels) if path is not None)
    sources = set(map(os.path.realpath, read))
    lost = [path for path in written if os.path.realpath(path) in sources]
    if lost:
        raise UsageError(f"the result would replace {lost[0]}, which is read; name another output")
    if job.manifest is not None:
        check_reads_none_of(job.manifest, written)
    check_no_folder_is_a_file(written)


def named_targets(job: FileJob) -> list[Path]:
    """Return where in the folder label maps go. Raises UsageError where an ending is none that can be written."""
    wanted = f".{job.ending.lower().lstrip('.')}" if job.ending else ""
    targets = [
        Path(one.output) if one.output else Path(f"{name_of(one.path)}{wanted or own_ending(one.path)}")
        for one in job.inputs
    ]
    check_endings([wanted, *map(ending_of, targets)])
    return targets


def checked_file(job: FileJob) -> Path:
    """Return the output, which is a file. Raises UsageError where it cannot be."""
    if len(job.inputs) > 1:
        raise UsageError(f"{len(job.inputs)} inputs cannot go into one file ({job.output}); name a folder")
    if job.ending and f".{job.ending.lower().lstrip('.')}" != ending_of(job.output):
        raise UsageError(f"--format {job.ending} and the output {job.output.name} contradict each other")
    check_endings([ending_of(job.output)])
    return job.output


def check_endings(endings: Sequence[str]) -> None:
    odd = next((ending for ending in endings if ending not in ("", *OUTPUTS)), None)
    if odd is not None:
        raise UsageError(f"label maps cannot be written as {odd}; {', '.join(OUTPUTS)} are possible")


def check_new_file(job: FileJob, overlays: Sequence[Path]) -> None:
    """Raise UsageError where the one file that is to be written is there already, or something in its table's place."""
    if job.resume:
        raise UsageError(f"--resume is for a folder of results, and {job.output} is one file")
    there = [path for path in (job.output, *overlays, job.table) if os.path.lexists(path) and not is_table(path)]
    if there and not job.overwrite:
        raise UsageError(f"{there[0]} is already there: use --overwrite to replace it")
