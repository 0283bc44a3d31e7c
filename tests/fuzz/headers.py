"""Headers of NRRD and MetaImage changed in thousands of ways, and read in this process: what may come of it."""

import bz2
import gzip
import random
import resource
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from repmedsam_infer.errors import MOST_CHARACTERS, CaseReadError
from repmedsam_infer.formats import read_scan
from repmedsam_infer.formats.nrrd.image import segment_names
from tests.fuzz import odd
from tests.fuzz.volume_inputs import META_LINES, NRRD_LINES, spoiled_text

VOXELS = np.arange(60, dtype="<i2")  # of 5 x 4 x 3
RAW = VOXELS.tobytes()
TEXT = " ".join(map(str, VOXELS)).encode()
BOMB = gzip.compress(bytes(32 << 20), mtime=0)
MOST_SECONDS = 5  # that one file takes
MOST_MEMORY = 256 << 20  # bytes that the process grows by: headers may have 16 MiB; sizes up to 2 GiB are declared
SPACE = "space: RAS\nspace directions: (0,2,0) (3,0,0) (0,0,-4)\nspace origin: (1,-2,3)\n"
OWN = "Segment0_Name:=liver\nSegment0_LabelValue:=1\nSegment0_Tags:=a: b\\n\n"

Files = Mapping[str, bytes]  # by name; the header is first


def nrrd(data: bytes, encoding: str = "raw", more: str = "", sizes: str = "5 4 3", kind: str = "short") -> bytes:
    head = f"NRRD0005\n# made here\ntype: {kind}\ndimension: {len(sizes.split())}\n{more}sizes: {sizes}\n"
    return f"{head}endian: little\nencoding: {encoding}\n\n".encode() + data


def meta(data: bytes, more: str = "", sizes: str = "5 4 3", file: str = "LOCAL") -> bytes:
    head = (
        f"ObjectType = Image\nNDims = {len(sizes.split())}\nBinaryData = True\nBinaryDataByteOrderMSB = False\n{more}"
    )
    return f"{head}DimSize = {sizes}\nElementType = MET_SHORT\nElementDataFile = {file}\n".encode() + data


PLACE = "TransformMatrix = 0 1 0 1 0 0 0 0 -1\nOffset = 1 -2 3\nElementSpacing = 1 2 3\n"
SAMPLES: tuple[Files, ...] = (
    {"v.nrrd": nrrd(RAW, more=SPACE)},
    {"v.nrrd": nrrd(RAW, more=SPACE + OWN)},
    {"v.nrrd": nrrd(gzip.compress(RAW, mtime=0), "gzip", SPACE)},
    {"v.nrrd": nrrd(gzip.compress(b"skip" + RAW, mtime=0), "gzip", "byte skip: -1\n")},
    {"v.nrrd": nrrd(BOMB, "gzip", "byte skip: -1\n")},
    {"v.nrrd": nrrd(BOMB, "gz")},
    {"v.nrrd": nrrd(bz2.compress(RAW), "bzip2", "spacings: 1 -2 3\naxis mins: 0 0 0\n")},
    {"v.nrrd": nrrd(RAW.hex().encode(), "hex")},
    {"v.nrrd": nrrd(TEXT, "ascii")},
    {"v.nrrd": nrrd(b"a\nb\n123" + RAW, more="line skip: 2\nbyte skip: 3\n")},
    {"v.nrrd": nrrd(RAW, more="kinds: vector domain domain domain\n", sizes="2 5 3 2")},
    {"v.nrrd": nrrd(RAW, more="kinds: domain domain domain list\n", sizes="5 3 2 2")},
    {"v.nrrd": nrrd(RAW, more="space dimension: 4\n", sizes="5 3 2 2")},
    {"v.nrrd": nrrd(RAW, more="kinds: domain RGB-color domain\n", sizes="5 3 8", kind="uchar")},
    {"v.nhdr": nrrd(b"", "gzip", "data file: v.raw.gz\n"), "v.raw.gz": gzip.compress(RAW, mtime=0)},
    {"v.mha": meta(RAW, PLACE)},
    {"v.mha": meta(zlib.compress(RAW), PLACE + "CompressedData = True\nCompressedDataSize = 99\n")},
    {"v.mha": meta(BOMB, PLACE + "CompressedData = True\n")},
    {"v.mha": meta(TEXT, "BinaryData = False\n")},
    {"v.mha": meta(b"123" + RAW, "HeaderSize = -1\n")},
    {"v.mha": meta(RAW, "ElementNumberOfChannels = 2\n", "5 3 2")},
    {"v.mha": meta(RAW, "", "5 3 2 2")},
    {"v.mhd": meta(b"", PLACE, file="v.raw"), "v.raw": RAW},
    {"v.mhd": meta(b"", PLACE + "CompressedData = True\n", file="v.zraw"), "v.zraw": zlib.compress(RAW)},
)


def changed(dice: random.Random, files: Files) -> Files:
    """Return files of which the header is changed in a line or a few bytes, or now and then the other file."""
    header, *others = files
    content = dict(files)
    is_nrrd = files[header].startswith(b"NRRD")
    if others and dice.random() < 0.2:
        content[others[0]] = odd.damaged(dice, files[others[0]])
    elif dice.random() < 0.3:
        content[header] = odd.damaged(dice, files[header])
    elif is_nrrd:
        head, _, data = files[header].partition(b"\n\n")
        content[header] = spoiled_text(dice, files[header], head, data, NRRD_LINES, b"\n\n", b":")
    else:
        name = b"ElementDataFile ="
        before, _, rest = files[header].partition(name)
        line, _, data = rest.partition(b"\n")
        content[header] = spoiled_text(dice, files[header], before + name + line, data, META_LINES, b"\n", b" =")
    return content


def check(dice: random.Random, folder: Path, files: Files) -> bool:
    """Read a file, and check what comes of it; returns whether it was read.

    Raises:
        AssertionError: it took too long, or what came of it is not what `Scan` and errors promise.

    """
    for name, content in files.items():
        (folder / name).write_bytes(content)
    path = folder / next(iter(files))
    start = time.monotonic()
    try:
        scan = read_scan(path, volume=dice.choice((None, None, 0, 1)))
        segment_names(path) if path.suffix == ".nrrd" else None
    except CaseReadError as error:
        assert str(error).startswith(f"{path.name}: ") or path.name in str(error)
        assert str(error).isprintable()
        assert len(str(error)) <= MOST_CHARACTERS + 20
        return False
    finally:
        assert time.monotonic() - start < MOST_SECONDS
        for name in files:
            (folder / name).unlink()
    assert scan.voxels.dtype.kind in "iuf"
    assert scan.voxels.dtype.isnative
    assert len(scan.shape) == (3 if scan.is_volume else 2)
    assert scan.voxels.shape[len(scan.shape) :] in ((), (3,))
    assert min(scan.shape) > 0
    if scan.is_volume:
        assert scan.affine is not None
        assert np.isfinite(np.linalg.inv(scan.affine)).all()
    return True


def check_many(seed: int, count: int, folder: Path) -> tuple[int, int]:
    """Read `count` changed files; returns how many were read, and how many refused.

    Raises:
        AssertionError: as `check`, with the file's content, or the process grew too much.

    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    was_read = 0
    for number in range(count):
        dice = random.Random(f"{seed}:{number}")
        files = changed(dice, dice.choice(SAMPLES))
        try:
            was_read += check(dice, folder, files)
        except Exception as error:
            start = {name: content[:2000] for name, content in files.items()}
            raise AssertionError(f"{seed}:{number} {error!r} of {start}") from error
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < MOST_MEMORY, f"grew by {grown >> 20} MiB"
    return was_read, count - was_read
