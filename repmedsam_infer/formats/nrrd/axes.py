"""What a header of NRRD says of the array: its axes, and how its numbers stand in the file."""

from typing import Literal

import numpy as np

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.nrrd.header import NrrdHeader
from repmedsam_infer.formats.voxels.fields import check_axes, check_sizes, damaged, whole
from repmedsam_infer.formats.voxels.layout import Layout, check_layout
from repmedsam_infer.formats.voxels.numbers import BZIP2, GZIP, HEX, RAW, TEXT, Encoding
from repmedsam_infer.io.npz import MAX_ARRAY_BYTES

MOST_AXES = 16
NAMES_OF_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        *("longlong", "long long", "long long int", "signed long long", "signed long long int"),
        *("int64", "int64_t"),
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
TYPES = {name: code for code, names in NAMES_OF_TYPES.items() for name in names}
NAMES_OF_ENCODINGS = {
    RAW: ("raw",),
    GZIP: ("gzip", "gz"),
    BZIP2: ("bzip2", "bz2"),
    HEX: ("hex",),
    TEXT: ("text", "txt", "ascii"),
}
ENCODINGS = {name: kind for kind, names in NAMES_OF_ENCODINGS.items() for name in names}
ORDERS: dict[str, Literal["<", ">"]] = {"little": "<", "big": ">"}
# Kinds of axes along which voxels lie; what is not known counts as one, as in ITK.
ALONG = ("domain", "space", "time", "???", "none")
# Kinds of axes of the values of a voxel that are volumes or colours, and how many there are where it is fixed.
VALUES = {
    **dict.fromkeys(("list", "point", "vector", "contravariant-vector", "covariant-vector", "normal"), 0),
    **dict.fromkeys(("stub", "scalar"), 1),
    **dict.fromkeys(("2-vector",), 2),
    **dict.fromkeys(("3-color", "rgb-color", "rgbcolor", "rgb", "hsv-color", "hsvcolor", "hsv", "xyz-color"), 3),
    **dict.fromkeys(("3-vector", "3-gradient", "3-normal"), 3),
    **dict.fromkeys(("4-color", "rgba-color", "rgbacolor", "rgba", "4-vector", "quaternion"), 4),
}


def along_and_values(name: str, header: NrrdHeader) -> tuple[list[int], int | None]:
    """Return the axes, from 0, the fastest, along which voxels lie, and that of their values, if there is one.

    Raises:
        CaseReadError: there is more than one of values, or one of tensors or complex numbers.

    """
    axes = check_axes(name, header.fields.get("dimension", ""), MOST_AXES)
    kinds = header.fields.get("kinds", " ".join(ALONG[:1] * axes)).lower().split()
    if len(kinds) != axes:
        raise damaged(name, "kinds", header.fields["kinds"])
    others = [axis for axis, kind in enumerate(kinds) if kind not in ALONG]
    for axis in others:
        if kinds[axis] not in VALUES:
            raise CaseReadError(f"{name}: its voxels are of the kind {kinds[axis]!r}; grey levels or RGB are needed")
    if len(others) > 1:
        raise CaseReadError(f"{name}: {len(others)} of its axes are values of a voxel; grey levels or RGB are needed")
    return [axis for axis in range(axes) if axis not in others], others[0] if others else None


def layout_of(name: str, header: NrrdHeader) -> Layout:
    """Return how the numbers are laid out.

    Raises:
        CaseReadError: the header is damaged, or has voxels that no image has.

    """
    fields = header.fields
    along, of_values = along_and_values(name, header)
    words = fields.get("sizes", "").split()
    if len(words) != len(along) + (of_values is not None):
        raise damaged(name, "sizes", fields.get("sizes", ""))
    sizes = [whole(name, "sizes", word) for word in words]
    check_sizes(name, sizes)
    kind = " ".join(fields.get("type", "").lower().split())
    if kind not in TYPES:
        raise CaseReadError(f"{name}: its voxels are of the type {kind!r}; grey levels or RGB are needed")
    dtype = np.dtype(TYPES[kind])
    if dtype.itemsize > 1 and kind_of_encoding(name, header) != TEXT:
        if fields.get("endian", "").lower() not in ORDERS:
            raise damaged(name, "endian", fields.get("endian", ""))
        dtype = dtype.newbyteorder(ORDERS[fields["endian"].lower()])
    values = 1 if of_values is None else sizes[of_values]
    if of_values is not None and VALUES[fields["kinds"].lower().split()[of_values]] not in (0, values):
        raise damaged(name, "kinds", fields["kinds"])
    layout = Layout(tuple(sizes[axis] for axis in along), dtype, values, of_values if values > 1 else None)
    check_layout(name, layout)
    return layout


def encoding_of(name: str, header: NrrdHeader, layout: Layout) -> Encoding:
    """Return how the numbers stand in the file, behind lines that are skipped.

    Raises:
        CaseReadError: in an encoding that is not known, or behind more than there can be.

    """
    kind = kind_of_encoding(name, header)
    text = header.fields.get("byteskip", "0")
    skip = whole(name, "byte skip", text)
    if abs(skip) > MAX_ARRAY_BYTES or (skip < 0 and kind in (HEX, TEXT)):
        raise damaged(name, "byte skip", text)
    if skip < 0:  # -1: they are at the end; -1 - n: n bytes before it
        return Encoding(kind, layout.dtype, layout.count, behind=-1 - skip)
    return Encoding(kind, layout.dtype, layout.count, skip)


def kind_of_encoding(name: str, header: NrrdHeader) -> str:
    encoding = header.fields.get("encoding", "").lower()
    if encoding not in ENCODINGS:
        raise CaseReadError(
            f"{name}: its voxels are encoded as {encoding[:40]!r}; raw, gzip, bzip2, hex and text are read"
        )
    return ENCODINGS[encoding]
