"""Headers of MetaImage: names and values, line by line, up to the name of the file that has the voxels.

Fields: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.voxels.fields import check_axes, check_sizes, damaged, number, text_of, whole
from repmedsam_infer.formats.voxels.layout import Layout, check_layout
from repmedsam_infer.formats.voxels.numbers import RAW, TEXT, ZLIB, Encoding
from repmedsam_infer.formats.voxels.place import Place, make_place
from repmedsam_infer.io.npz import MAX_ARRAY_BYTES

MOST_HEADER = 1 << 16  # bytes
MOST_AXES = 10
MOST_VALUES = 10_000  # of a voxel
END = re.compile(rb"^[ \t]*ElementDataFile[ \t]*[=:][^\n]*(?:\n|\Z)", re.MULTILINE)
SEPARATOR = re.compile("[=:]")
NAMES_OF_TYPES = {
    "i1": ("CHAR", "ASCII_CHAR"),
    "u1": ("UCHAR",),
    "i2": ("SHORT",),
    "u2": ("USHORT",),
    "i4": ("INT", "LONG"),
    "u4": ("UINT", "ULONG"),
    "i8": ("LONG_LONG",),
    "u8": ("ULONG_LONG",),
    "f4": ("FLOAT",),
    "f8": ("DOUBLE",),
}
TYPES = {
    f"MET_{name}{kind}": code for code, names in NAMES_OF_TYPES.items() for name in names for kind in ("", "_ARRAY")
}
INSIDE = ("LOCAL", "Local", "local")
TRUE = ("T", "t", "1")
FROM_END = -1  # HeaderSize: voxels are at the end
# Of several fields of one meaning the last counts, as in ITK. Version 1 has names of its own.
ORIGINS = ("Position", "Offset", "Origin", "ImagePosition")
DIRECTIONS = ("Orientation", "Rotation", "TransformMatrix")


@dataclass(frozen=True)
class MetaImageHeader:
    """What the header of an image says.

    layout, place: of its voxels.
    encoding: of its numbers.
    data_file: the name of the file that has them; None for the header's own.
    start: the byte of that file from which on they are.
    """

    layout: Layout
    place: Place
    encoding: Encoding
    data_file: str | None
    start: int


def read_header(path: Path) -> MetaImageHeader:
    """Read a header, and check it.

    Raises:
        CaseReadError: it is none, or damaged.

    """
    name = path.name
    with path.open("rb") as file:
        head = file.read(MOST_HEADER)
    end = END.search(head)
    if end is None:
        raise CaseReadError(f"{name}: cannot be read: its header does not say where its voxels are (ElementDataFile)")
    fields = fields_of(text_of(head[: end.end()]))
    axes = check_axes(name, fields.get("NDims", ""), MOST_AXES)
    layout = layout_of(name, fields, axes)
    data_file = fields["ElementDataFile"]
    is_inside = data_file in INSIDE
    header_size = whole(name, "HeaderSize", fields.get("HeaderSize", "0"))
    start = header_size if header_size > 0 else end.end() if is_inside else 0
    return MetaImageHeader(
        layout=layout,
        place=place_of_fields(name, fields, axes),
        encoding=encoding_of(name, fields, layout, header_size),
        data_file=None if is_inside else data_file,
        start=start,
    )


def fields_of(text: str) -> dict[str, str]:
    """Return values by name; of a name that is there twice, the last."""
    parts = (SEPARATOR.split(line, 1) for line in text.split("\n"))
    return {part[0].strip(): part[1].lstrip("=: \t").rstrip() for part in parts if len(part) == 2}


def numbers(name: str, fields: dict[str, str], field: str, count: int) -> NDArray[np.float64]:
    """(count,) numbers of a field; more are ignored, as ITK ignores them.

    Raises:
        CaseReadError: there are fewer.

    """
    words = fields[field].split()
    if len(words) < count:
        raise damaged(name, field, fields[field])
    return np.array([number(name, field, word) for word in words[:count]])


def layout_of(name: str, fields: dict[str, str], axes: int) -> Layout:
    sides = fields.get("DimSize", "").split()
    if len(sides) < axes:
        raise damaged(name, "DimSize", " ".join(sides))
    sizes = tuple(whole(name, "DimSize", side) for side in sides[:axes])
    check_sizes(name, sizes)
    kind = fields.get("ElementType", "")
    if kind not in TYPES:
        raise CaseReadError(f"{name}: its voxels are of the type {kind!r}; grey levels or RGB are needed")
    order = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", ""))
    dtype = np.dtype(TYPES[kind]).newbyteorder(">" if order.startswith(TRUE) else "<")
    values = whole(name, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1"))
    if not 1 <= values <= MOST_VALUES:
        raise damaged(name, "ElementNumberOfChannels", str(values))
    layout = Layout(sizes, dtype, values, 0 if values > 1 else None)
    check_layout(name, layout)
    return layout


def encoding_of(name: str, fields: dict[str, str], layout: Layout, header_size: int) -> Encoding:
    is_packed = fields.get("CompressedData", "").startswith(TRUE)
    kind = ZLIB if is_packed else RAW
    if not fields.get("BinaryData", "True").startswith(TRUE):
        kind = TEXT
    if header_size > MAX_ARRAY_BYTES or (header_size == FROM_END and kind != RAW):
        raise damaged(name, "HeaderSize", str(header_size))
    return Encoding(kind, layout.dtype, layout.count, behind=0 if header_size == FROM_END else None)


def place_of_fields(name: str, fields: dict[str, str], axes: int) -> Place:
    origin, spacing, directions = np.zeros(axes), np.ones(axes), np.eye(axes)
    for field in ORIGINS:
        if field in fields:
            origin = numbers(name, fields, field, axes)
    for field in DIRECTIONS:
        if field in fields:
            directions = numbers(name, fields, field, axes * axes).reshape(axes, axes)
    for field in ("ElementSize", "ElementSpacing"):
        if field in fields:
            spacing = numbers(name, fields, field, axes)
    return make_place(name, origin, spacing, directions.T)  # a row of the file is an axis
