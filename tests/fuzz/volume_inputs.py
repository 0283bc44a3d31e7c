"""NIfTI, NRRD and MetaImage: headers changed field by field, and bytes."""

import gzip
import json
import math
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import good, odd
from tests.fuzz.trial import INPUTS, OUTPUTS, Trial

# NIfTI-1's fields: offset and struct code of one number, or (offset, code, count).
FIELDS_1 = (
    *((0, "<i", 1), (38, "<c", 1), (39, "<B", 1), (40, "<h", 8), (56, "<f", 3), (68, "<h", 1), (70, "<h", 1)),
    *((72, "<h", 1), (74, "<h", 1), (76, "<f", 8), (108, "<f", 1), (112, "<f", 2), (120, "<h", 1), (122, "<b", 2)),
    *((124, "<f", 4), (252, "<h", 2), (256, "<f", 6), (280, "<f", 12), (344, "<4s", 1)),
)
NIFTI_TYPES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, -2, 32767)
NRRD_TYPES = ("uchar", "short", "ushort", "int", "float", "double", "int64", "uint64", "block", "half", "complex", "x")
META_TYPES = ("MET_UCHAR", "MET_SHORT", "MET_FLOAT", "MET_DOUBLE", "MET_LONG_LONG", "MET_STRING", "MET_NONE", "x")
NRRD_LINES = (
    *("type: {type}", "dimension: {n}", "sizes: {n} {n} {n}", "sizes: 60 40 3 {n}", "encoding: {encoding}"),
    *("space dimension: {n}", "space: {text}", "space directions: ({f},0,0) (0,{f},0) (0,0,{f})", "endian: {text}"),
    *("space directions: none ({f},{f},{f}) ({f},{f},{f})", "space origin: ({f},{f},{f})", "spacings: {f} {f} {f}"),
    *(
        "kinds: {text} domain vector",
        "data file: {text}",
        "data file: /etc/passwd",
        "data file: LIST",
        "byte skip: {n}",
    ),
    *(
        "line skip: {n}",
        "content: {text}",
        "{text}:={text}",
        "{text}",
        "data file: %d 1 {n} 1",
        "thicknesses: {f} {f} 1",
    ),
)
META_LINES = (
    *(
        "NDims = {n}",
        "DimSize = {n} {n} {n}",
        "ElementType = {type}",
        "ElementSpacing = {f} {f} {f}",
        "{text} = {text}",
    ),
    *("Offset = {f} {f} {f}", "TransformMatrix = {f} 0 0 0 {f} 0 0 0 {f}", "ElementNumberOfChannels = {n}", "{text}"),
    *("BinaryDataByteOrderMSB = {text}", "CompressedData = True", "CompressedDataSize = {n}", "HeaderSize = {n}"),
    *("ElementDataFile = {text}", "ElementDataFile = /etc/passwd", "ElementDataFile = LIST", "BinaryData = False"),
    *("ElementDataFile = %d.raw 1 {n} 1", "ElementSize = {f} {f} {f}", "ObjectType = {text}", "Modality = {text}"),
    *("ElementDataFile = ../in/good.nii", "AnatomicalOrientation = {text}", "ElementToIntensityFunctionSlope = {f}"),
)
ENCODINGS = ("raw", "gzip", "gz", "bzip2", "ascii", "hex", "zrl", "x")

Spoil = Callable[[random.Random, bytes], bytes]


def volumes(
    dice: random.Random, folder: Path, endings: tuple[str, ...], make: Callable[[Path], bytes], spoil: Spoil
) -> Trial:
    """`segment` or `convert` of six hostile volumes of a kind, and a good one that comes last."""
    inputs = folder / INPUTS
    inputs.mkdir()
    names = []
    for i in range(6):
        ending = dice.choice(endings)
        path = inputs / odd.file_name(dice, f"v{i}", ending)
        raw = make(inputs / f"made{ending}")
        for left in inputs.glob("made*"):
            left.unlink()
        path.write_bytes(spoil(dice, raw))
        names.append(f"{INPUTS}/{path.name}")
    good.nifti(inputs / "good.nii")
    called = [name.removeprefix(f"{INPUTS}/") for name in names]
    content = {"cases": {name: [good.BOX_3D] for name in [*called, "good.nii"]}}
    (inputs / "boxes.json").write_text(json.dumps(content))
    command = dice.choice(("segment", "segment", "convert"))
    arguments = [command, *names, f"{INPUTS}/good.nii", "--boxes", f"{INPUTS}/boxes.json", "-o", OUTPUTS]
    if command == "convert":
        return Trial(folder, arguments, names, {}, reported=False)
    if dice.random() < 0.5:
        ending = dice.choice((".nii", ".nrrd", ".mha", ".npz"))
        return Trial(folder, [*arguments, "--format", ending], names, {f"{OUTPUTS}/good{ending}": f"good{ending}"})
    return Trial(folder, arguments, names, {f"{OUTPUTS}/good.nii.gz": "good.nii.gz"})


def nifti(dice: random.Random, folder: Path) -> Trial:
    return volumes(dice, folder, (".nii", ".nii", ".nii.gz"), good.nifti, spoiled_nifti)


def spoiled_nifti(dice: random.Random, raw: bytes) -> bytes:
    if raw[:2] == b"\x1f\x8b":
        if dice.random() < 0.3:
            return odd.damaged(dice, raw)
        inner = spoiled_nifti(dice, gzip.decompress(raw))
        if dice.random() < 0.05:
            inner += bytes(64 << 20)
        return gzip.compress(inner, 1, mtime=0)
    if dice.random() < 0.25:
        return odd.damaged(dice, raw)
    out = bytearray(raw)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        offset, code, count = dice.choice(FIELDS_1)
        at = offset + dice.randrange(count) * struct.calcsize(code)
        if code in ("<c", "<4s"):
            value: object = dice.choice((b"n+1\0", b"ni1\0", b"n+2\0", b"\0\0\0\0", b"\x1b[31"))[
                : struct.calcsize(code)
            ]
        elif code == "<f":
            value = _float32(dice)
        else:
            bits = 8 * struct.calcsize(code)
            value = dice.choice((*NIFTI_TYPES, *odd.INTEGERS)) % (1 << bits)
            code = code.upper()
        struct.pack_into(code, out, at, value)
    if dice.random() < 0.1:  # the other byte order, half done
        out[:4] = out[:4][::-1]
    return bytes(out)


def nrrd(dice: random.Random, folder: Path) -> Trial:
    return volumes(dice, folder, (".nrrd",), lambda path: by_simpleitk(dice, path), spoiled_nrrd)


def by_simpleitk(dice: random.Random, path: Path) -> bytes:
    return good.by_simpleitk(path, is_packed=dice.random() < 0.5)


def spoiled_nrrd(dice: random.Random, raw: bytes) -> bytes:
    head, _, data = raw.partition(b"\n\n")
    return spoiled_text(dice, raw, head, data, NRRD_LINES, b"\n\n", b":")


def meta_image(dice: random.Random, folder: Path) -> Trial:
    # Header and voxels are in one file, whatever the ending.
    return volumes(
        dice, folder, (".mha", ".mha", ".mhd"), lambda path: by_simpleitk(dice, path.with_suffix(".mha")), spoiled_meta
    )


def spoiled_meta(dice: random.Random, raw: bytes) -> bytes:
    head, mark, data = raw.partition(b"ElementDataFile = LOCAL\n")
    return spoiled_text(dice, raw, head + mark.rstrip(b"\n"), data, META_LINES, b"\n", b" =")


def spoiled_text(
    dice: random.Random, raw: bytes, head: bytes, data: bytes, lines: tuple[str, ...], end: bytes, mark: bytes
) -> bytes:
    """Return a file of a text header in which a line or three are replaced, added, removed or put in twice."""
    if dice.random() < 0.2:
        return odd.damaged(dice, raw)
    rows = head.split(b"\n")
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        at = dice.randrange(1, len(rows))
        action = dice.random()
        if action < 0.1:
            rows.insert(at, dice.choice(rows) * dice.choice((1, 1000)))
        elif action < 0.2 and len(rows) > 2:
            del rows[at]
        else:
            line = dice.choice(lines).format(
                n=dice.choice((*odd.INTEGERS, 3, 3, 40, 60)),
                f=dice.choice((odd.number(dice), 1.0)),
                text=odd.text(dice).replace("\n", " ") if dice.random() < 0.8 else odd.text(dice),
                type=dice.choice(NRRD_TYPES if mark == b":" else META_TYPES),
                encoding=dice.choice(ENCODINGS),
            )
            new = line.encode("utf-8", "surrogatepass")
            same = [i for i, row in enumerate(rows) if row.split(mark)[0] == new.split(mark)[0]]
            if same:
                rows[same[0]] = new
            else:
                rows.insert(at, new)
    if dice.random() < 0.2:
        data = dice.choice(
            (data[:-1], data[: len(data) // 2], data + bytes(5000), zlib.compress(data), gzip.compress(data, mtime=0))
        )
    return b"\n".join(rows) + end + data


def _float32(dice: random.Random) -> float:
    value = float(dice.choice((odd.number(dice), dice.choice(odd.FLOATS))))
    return value if math.isnan(value) or abs(value) < 3.4e38 else float("inf")
