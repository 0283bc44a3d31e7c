"""NRRD: image in, label map out in the very same place."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.endings import ending_of, name_of
from repmedsam_infer.formats.names.slicer import MOST_SEGMENTS, names_in, segment_fields
from repmedsam_infer.formats.nrrd.axes import encoding_of, layout_of
from repmedsam_infer.formats.nrrd.header import NrrdHeader, escaped, read_header
from repmedsam_infer.formats.nrrd.space import place_of_header, warning_of
from repmedsam_infer.formats.opening import check_file
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.voxels.beside import open_voxels
from repmedsam_infer.formats.voxels.fields import whole
from repmedsam_infer.formats.voxels.layout import part_to_read
from repmedsam_infer.formats.voxels.numbers import read_numbers
from repmedsam_infer.formats.voxels.place import IN_3D, Place, as_volume, place_of, scan_at
from repmedsam_infer.io.atomic import write_result

LEVEL = 1  # of compression: label maps are long runs of equal bytes
MOST_LINES = 1_000_000  # that are skipped
LINE_PIECE = 1 << 16  # bytes
WRITTEN = {"uint8": "unsigned char", "uint16": "unsigned short"}
START = """NRRD0004
# Complete NRRD file format specification at:
# http://teem.sourceforge.net/nrrd/format.html
"""


def read_nrrd(path: Path, volume: int | None = None) -> Scan:
    """Read a volume, or a picture where the file has two axes of voxels.

    volume: which one, from 0, of a file of four axes, or of one that has several values a voxel.

    Raises:
        CaseReadError: it is damaged, too large, has several volumes, or its voxels are neither grey nor RGB.

    """
    header = header_of(path)
    layout = layout_of(path.name, header)
    encoding = encoding_of(path.name, header, layout)
    place = place_of_header(path.name, header, layout)
    data_file = header.fields.get("datafile")
    part = part_to_read(path.name, layout, volume)
    with open_voxels(path, data_file, header.end if data_file is None else 0) as stream:
        skip_lines(path.name, stream, header)
        numbers = read_numbers(path.name, stream, encoding, part.first, part.count)
    warning = warning_of(header) if len(place.origin) == IN_3D else None
    return scan_at(name_of(path), path.name, part.voxels(numbers), place, () if warning is None else (warning,))


def header_of(path: Path) -> NrrdHeader:
    check_file(path)
    try:
        return read_header(path)
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error


def skip_lines(name: str, stream: io.BufferedReader, header: NrrdHeader) -> None:
    """Skip the lines of text that a header says are before its voxels.

    Raises:
        CaseReadError: there are fewer.

    """
    text = header.fields.get("lineskip", "0")
    count = whole(name, "line skip", text)
    if not 0 <= count <= MOST_LINES:
        raise CaseReadError(f"{name}: its header says to skip {text} lines: it is damaged")
    for _ in range(count):
        while not (piece := stream.readline(LINE_PIECE)).endswith(b"\n"):
            if not piece:
                raise CaseReadError(
                    f"{name}: ends within the {count:,} lines before its voxels: it is cut off; copy it again"
                )


def segment_names(path: Path) -> dict[int, str]:
    """Return the names of labels in the header of a file, as 3D Slicer's segmentations have them.

    Raises:
        CaseReadError: it is none of NRRD.

    """
    return names_in(header_of(path).own)


def write_nrrd(path: Path, labels: NDArray[Any], scan: Scan, names: Sequence[str] | None = None) -> None:
    """Write (H, W) or (D, H, W) labels, uint8 or uint16, compressed, in the place of the image.

    A volume holds the names of label 1, 2, ..., if they are given, as 3D Slicer's segmentations do; .seg.nrrd is always
    such a segmentation, of a picture, too, which becomes a volume of one slice. More than MOST_SEGMENTS names are left
    out.

    Raises:
        CaseWriteError: it could not be written.

    """
    place = place_of(scan)
    is_segmentation = ending_of(path) == ".seg.nrrd"
    if is_segmentation and labels.ndim < IN_3D:
        labels, place = labels[None], as_volume(place)
    if is_segmentation and names is None:
        names = [f"label {label}" for label in range(1, int(labels.max(initial=0)) + 1)]
    own: dict[str, str] = {}
    if names and len(names) <= MOST_SEGMENTS and labels.ndim == IN_3D:
        own = segment_fields(names, labels.shape)
    head = START + "".join(f"{name}: {value}\n" for name, value in fields_of(labels, place).items())
    head += "".join(f"{escaped(name)}:={escaped(value)}\n" for name, value in own.items()) + "\n"
    numbers = np.ascontiguousarray(labels, labels.dtype.newbyteorder("<"))
    # No time stamp: equal labels give equal files.
    write_result(path, head.encode("utf-8") + igzip.compress(numbers.data, LEVEL, mtime=0), "the label map")


def fields_of(labels: NDArray[Any], place: Place) -> dict[str, str]:
    """Return what a header says of labels; in 3D, LPS is a space that has a name."""
    axes = len(place.origin)
    steps = np.reshape(place.direction, (axes, axes)) * place.spacing
    space = {"space": "left-posterior-superior"} if axes == IN_3D else {"space dimension": str(axes)}
    return {
        "type": WRITTEN[labels.dtype.name],
        "dimension": str(axes),
        **space,
        "sizes": " ".join(map(str, labels.shape[::-1])),
        "space directions": " ".join(vector(step) for step in steps.T.tolist()),
        "kinds": " ".join(["domain"] * axes),
        "endian": "little",
        "encoding": "gzip",
        "space origin": vector(place.origin),
    }


def vector(numbers: Sequence[float]) -> str:
    """Return numbers with every digit that they have."""
    return f"({','.join(map(repr, numbers))})"
