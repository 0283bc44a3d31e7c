"""Masks as people have them (label maps, colours, black and white) to the labels 1..N of a case's objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import MAX_BOXES, find_extents
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats import kind_of, read_scan
from repmedsam_infer.formats.label_grid import on_grid_of, present_labels, renumbered, whole_labels
from repmedsam_infer.formats.opening import is_folder
from repmedsam_infer.formats.pictures.palette import PaletteSource
from repmedsam_infer.formats.scan import Scan

U16 = NDArray[np.uint16]
Labels = NDArray[np.uint8] | NDArray[np.uint16]

LOSSY = (".jpg", ".jpeg")
MOST_COLOURS = 255  # of a mask; more are those of a photograph, or of blurred edges
RGB = 3


@dataclass(frozen=True)
class Marking:
    """How objects are marked in label maps.

    parts: every connected part (8 neighbours) of a label is an object; for pictures. Else every label is one.
    threshold: what is brighter is marked, as one label; None: every number, or colour but black, is a label.
    """

    parts: bool = False
    threshold: float | None = None


class Marked(NamedTuple):
    """Objects as labels 1..N on a scan's voxels, and how many more are not to be seen, as others cover them wholly."""

    labels: Labels
    hidden: int


def objects_on(scan: Scan, paths: Sequence[Path], marking: Marking) -> Marked:
    """Return the objects in label maps of a scan; where they overlap, the smaller on top.

    Args:
        scan: picture or volume; the voxels' order of the result is its own.
        paths: of label maps, one or more.
        marking: how objects are marked in them.

    Raises:
        CaseReadError: one cannot be read, is no label map, or lies on other voxels; or there are more than 65535.

    """
    maps = [objects_in(path, scan, marking) for path in paths]
    if len(maps) == 1:
        return Marked(renumbered(maps[0], present_labels(maps[0])), 0)
    found = [(int(count), i, label) for i, one in enumerate(maps) for label, count in counted(one)]
    if len(found) > MAX_BOXES:
        raise CaseReadError(f"{scan.name}: has {len(found)} objects; at most {MAX_BOXES} can be labelled")
    numbers = {(i, label): number for number, (_, i, label) in enumerate(found, 1)}
    together = np.zeros(scan.shape, np.uint16)
    for _, i, label in sorted(found, key=lambda one: -one[0]):
        together[maps[i] == label] = numbers[i, label]
    present = present_labels(together)
    return Marked(renumbered(together, present), len(found) - len(present))


def counted(labels: U16) -> list[tuple[int, int]]:
    """Return each label and how many voxels it has."""
    return [(label, count) for label, count in enumerate(find_extents(labels).counts.tolist(), 1) if count]


def objects_in(path: Path, scan: Scan, marking: Marking) -> U16:
    """Return the objects of one label map on the scan's voxels. Raise as `objects_on`."""
    if marking.threshold is None and not is_folder(path) and kind_of(path) in LOSSY:
        raise CaseReadError(
            f"{path.name}: JPEG does not keep the numbers of labels; where it is black and white, give --threshold 127"
        )
    label_map = read_scan(path)
    labels = on_grid_of(scan, label_map, numbers_of(label_map, marking.threshold))
    if not marking.parts:
        return labels
    if labels.ndim != 2:
        raise CaseReadError(f"{scan.name}: is a volume; parts of masks are told apart on pictures only (--objects)")
    return parts_of(scan.name, labels)


def numbers_of(label_map: Scan, threshold: float | None) -> U16:
    """Return one whole number a voxel, 0 where nothing is marked, in the label map's order.

    Raises:
        CaseReadError: it is no label map.

    """
    voxels = label_map.voxels
    coloured = voxels.ndim > len(label_map.shape)
    if threshold is not None:
        return ((voxels.max(-1) if coloured else voxels) > threshold).astype(np.uint16)
    if coloured and not isinstance(label_map.source, PaletteSource) and (voxels != voxels[..., :1]).any():
        return colours_to_numbers(label_map.name, voxels)
    return whole_labels(label_map)


def colours_to_numbers(name: str, voxels: NDArray[Any]) -> U16:
    """(..., 3) colours -> (...) numbers, 0 for black, others in the order of their red, green and blue.

    Raises:
        CaseReadError: there are too many for a mask.

    """
    if voxels.dtype.kind != "u":
        raise CaseReadError(f"{name}: is coloured with values of type {voxels.dtype}; colours of 8 bits are needed")
    codes = voxels[..., 0].astype(np.int64)
    for channel in range(1, RGB):
        codes = codes << 16 | voxels[..., channel]
    colours, numbers = np.unique(codes, return_inverse=True)
    if len(colours) > MOST_COLOURS + 1:
        raise CaseReadError(
            f"{name}: has {len(colours)} colours, and a mask has {MOST_COLOURS} at most: is it a photograph, or are "
            "its edges blurred? Where it is bright on black, give --threshold 127"
        )
    first = 0 if colours[0] == 0 else 1  # without black every colour is marked
    return (numbers.reshape(codes.shape) + first).astype(np.uint16)


def parts_of(name: str, labels: U16) -> U16:
    """(H, W) labels -> a number for each connected part of each label. Raise CaseReadError where they are too many."""
    parts = np.zeros(labels.shape, np.int32)
    extents, count = find_extents(labels), 0
    for label in present_labels(labels).tolist():
        crop = extents.crop(label - 1)
        found, numbered = cv2.connectedComponents((labels[crop] == label).astype(np.uint8), connectivity=8)
        parts[crop][numbered > 0] = numbered[numbered > 0] + count
        count += found - 1
    if count > MAX_BOXES:
        raise CaseReadError(f"{name}: its mask has {count} parts; at most {MAX_BOXES} can be labelled")
    return parts.astype(np.uint16)
