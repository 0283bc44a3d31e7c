"""Pairs of images and masks to npz cases in a folder, with groups.csv; each is whole or not there."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import tight_boxes
from repmedsam_infer.commands.files.convert import modality_word
from repmedsam_infer.errors import CaseReadError, CaseWriteError, RepMedSAMError, SetupError, UsageError
from repmedsam_infer.formats.intensity import to_grey
from repmedsam_infer.formats.label_grid import renumbered
from repmedsam_infer.formats.scan_case import CaseLayout, layout_of
from repmedsam_infer.io.npz import write_npz
from repmedsam_train.cases.groups import GroupsFile, write_table
from repmedsam_train.cases.objects import Labels, Marking, objects_on
from repmedsam_train.cases.pairs import PARTS, Pair, check_usable
from repmedsam_train.data.reduction import reduced_image, reduced_labels, reduced_shape, reduced_spacing
from repmedsam_train.data.split import GROUPS, read_groups, split

NO_WORD = re.compile(r"[\W_]+")  # underscores part the words of a case's name
LONGEST_NAME = 100  # characters


@dataclass(frozen=True)
class Wanted:
    """What cases are to be like.

    dataset: what they are called after their modality: cases of one data set have the same.
    marking: how objects are marked.
    side: pixels of the longer side of an image or slice, at most; None: as it is.
    overwrite: whether cases of the same name are replaced.
    """

    dataset: str
    marking: Marking
    side: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError where the data set's name has no letter or digit."""
        if not word(self.dataset):
            raise UsageError(f"--dataset {self.dataset}: a name of letters and digits is needed")


@dataclass(frozen=True)
class Made:
    """One pair's case, or why there is none.

    image: the image's file name. case: the case's file name, empty where `error` is not. objects: how many it has.
    group, part: as of the pair; a group that is not known is the case's own.
    """

    image: str
    case: str = ""
    objects: int = 0
    group: str = ""
    part: str = ""
    warnings: tuple[str, ...] = ()
    error: str = ""


def make_cases(pairs: Sequence[Pair], folder: Path, wanted: Wanted) -> Iterator[Made]:
    """Write a case for each pair, and say of each what became of it; what fails leaves the others alone.

    Args:
        pairs: images, masks, groups.
        folder: where the cases and groups.csv go; it is there.
        wanted: what they are to be like.

    Raises:
        UsageError: the groups.csv that is there cannot be read; no case is made then.
        SetupError: groups.csv cannot be written.

    """
    groups = GroupsFile(folder)
    taken: dict[str, str] = {} if wanted.overwrite else {path.name: "" for path in folder.glob("*.npz")}
    for pair in pairs:
        try:
            made = make_training_case(pair, folder, wanted, taken, groups)
        except RepMedSAMError as error:
            made = Made(pair.image.name, error=str(error))
        except MemoryError:
            made = Made(pair.image.name, error=f"{pair.image.name}: does not fit into memory")
        else:
            taken[made.case] = pair.image.name
        yield made
    groups.finish()


def make_training_case(pair: Pair, folder: Path, wanted: Wanted, taken: dict[str, str], groups: GroupsFile) -> Made:
    """Write imgs, gts, boxes, and for volumes spacing.

    Args:
        pair: image and masks.
        folder: where to.
        wanted: what it is to be like.
        taken: names of cases that there are, and of which image each is; empty where it was there before.
        groups: of the folder; the case's is added.

    Raises:
        CaseReadError: image or masks cannot be read, or nothing is marked.
        CaseWriteError: the name is taken, or the case cannot be written.
        SetupError: what reads the format is not installed.

    """
    check_usable(pair)
    if not word(pair.name):
        raise CaseReadError(
            f"{pair.image.name}: has no letter or digit in its name; name it in a manifest (column name)"
        )
    scan = pair.reading.scan(pair.image)
    layout = layout_of(scan)
    case = f"{'3D' if layout.is_volume else '2D'}Box_{modality_word(scan.modality)}_{word(wanted.dataset)}"
    case = f"{case}_{word(pair.name)}.npz"
    if case in taken:
        other = f"of {taken[case]}" if taken[case] else f"in {folder} already: use --overwrite, or another folder"
        advice = "" if not taken[case] else "; name them in a manifest (column name)"
        raise CaseWriteError(f"{pair.image.name}: {case} is {other}{advice}")
    labels, hidden = objects_on(scan, pair.labels, wanted.marking)
    grey, notes = to_grey(scan, pair.reading.window)
    imgs = layout.images(grey)
    arrays = {"imgs": three_channels(scan.name, imgs, layout), **labels_and_spacing(layout, labels, scan.spacing)}
    if wanted.side is not None and max(arrays["gts"].shape[-2:]) > wanted.side:
        reduce_arrays(arrays, wanted.side, is_volume=layout.is_volume)
    before = int(labels.max(initial=0))
    kept = with_boxes(arrays)
    if not kept:
        lost = f" that is more than a pixel: all {before} are lost" if before else ""
        raise CaseReadError(f"{pair.image.name}: nothing is marked in its masks{lost}")
    dropped = [] if kept == before else [f"left out, as they are a pixel or less: {before - kept} of {before} objects"]
    if hidden:
        dropped.append(f"left out, as smaller ones cover them wholly: {hidden} of {before + hidden} objects")
    group = pair.group or case.removesuffix(".npz")
    groups.add(case, group)
    try:
        write_npz(folder / case, **arrays)
    except OSError as error:
        raise CaseWriteError(f"{case}: could not be written to {folder} ({error.strerror})") from error
    warnings = (*scan.warnings, *notes, *dropped)
    return Made(pair.image.name, case, kept, group, pair.part, warnings)


def word(text: str) -> str:
    """Return text as one word of a case's name."""
    return NO_WORD.sub("-", text).strip("-")[:LONGEST_NAME]


def three_channels(name: str, imgs: NDArray[np.uint8], layout: CaseLayout) -> NDArray[np.uint8]:
    """Return a picture as (H, W, 3), a volume as (D, H, W), as the challenge has them.

    Raises:
        CaseReadError: a volume has colours.

    """
    if not layout.is_volume:
        return np.repeat(imgs[..., None], 3, -1) if imgs.ndim == 2 else imgs
    if imgs.ndim > len(layout.shape):
        raise CaseReadError(f"{name}: is a volume in colours; grey ones are trained on")
    return imgs


def labels_and_spacing(
    layout: CaseLayout, labels: Labels, spacing: NDArray[np.float64] | None
) -> dict[str, NDArray[Any]]:
    """Return gts, and spacing where it is a volume's and known, in slice order."""
    turned = layout.order.spacing(spacing) if layout.is_volume else None
    return {"gts": layout.images(labels), **({} if turned is None else {"spacing": turned})}


def reduce_arrays(arrays: dict[str, NDArray[Any]], side: int, *, is_volume: bool) -> None:
    """Make imgs and gts `side` pixels on the longer side of a slice, in place; spacing follows."""
    before = arrays["gts"].shape[-2:]
    shape = reduced_shape((before[0], before[1]), side)
    images = arrays["imgs"] if is_volume else arrays["imgs"][None]
    reduced = np.stack([reduced_image(image, shape) for image in images])
    arrays["imgs"] = reduced if is_volume else reduced[0]
    arrays["gts"] = reduced_labels(arrays["gts"], shape)
    if "spacing" in arrays:
        arrays["spacing"] = reduced_spacing(arrays["spacing"], before, shape)


def with_boxes(arrays: dict[str, NDArray[Any]]) -> int:
    """Give objects in gts that a box can mark numbers from 1, add their boxes, and return how many they are.

    A box around a single pixel, or one pixel in all slices, marks nothing (boxes.check_box).
    """
    gts = arrays["gts"]
    boxes, axes = tight_boxes(gts), gts.ndim
    usable = (boxes[:, :2] <= boxes[:, axes : axes + 2]).all(1) & (boxes[:, :2] < boxes[:, axes : axes + 2]).any(1)
    keep = np.flatnonzero(usable) + 1
    arrays["gts"], arrays["boxes"] = renumbered(gts, keep), boxes[usable]
    return len(keep)


def check_unsplit(folder: Path) -> None:
    """Raise UsageError where cases were split into this folder before: added ones could part a patient's."""
    for part in PARTS:
        if any((folder / part).glob("*.npz")):
            raise UsageError(f"{folder / part} holds cases of an earlier split: name another folder")


def split_folder(folder: Path, seed: int, part_of: dict[str, str] | None = None) -> tuple[int, int]:
    """Move all cases of a folder into train/ and val/ in it, each with its groups.csv; return how many went where.

    What groups.csv says of cases that stay in the folder stays, too.

    Args:
        folder: cases and groups.csv.
        seed: of the draw (data/split.py).
        part_of: of each case, by name, the part that its data set has it in; None: about a fifth of groups go to val.

    Raises:
        UsageError: there is but one group, so that nothing can be held out.
        SetupError: a file cannot be moved.

    """
    groups = read_groups(folder / GROUPS)
    if part_of is None:
        if len({groups.get(path.name, path.name) for path in folder.glob("*.npz")}) < 2:
            raise UsageError(f"all cases in {folder} are of one group, and none can be held out: leave out --split")
        chosen: dict[str, Sequence[Path]] = dict(zip(PARTS, split(folder, seed), strict=True))
    else:
        chosen = {part: [folder / case for case, of_it in part_of.items() if of_it == part] for part in PARTS}
    moved = {path.name for paths in chosen.values() for path in paths}
    left = {case: group for case, group in groups.items() if case not in moved}
    try:
        for part, paths in chosen.items():
            (folder / part).mkdir(exist_ok=True)
            write_table(folder / part / GROUPS, {path.name: groups.get(path.name, path.stem) for path in paths})
            for path in paths:
                path.replace(folder / part / path.name)
        if left:
            write_table(folder / GROUPS, left)
        else:
            (folder / GROUPS).unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(f"cases of {folder} cannot be moved ({error.strerror})") from error
    return len(chosen["train"]), len(chosen["val"])
