"""Cases of the challenge, as files: members, headers, dtypes and sizes that are odd or lie."""

import math
import random
import struct
from pathlib import Path

import numpy as np

from tests.conftest import good_image
from tests.fuzz import good, odd
from tests.fuzz.trial import INPUTS, OUTPUTS, Trial
from tests.fuzz.zips import DEFLATED, STORED, Member, lying, write_zip

DTYPES = (
    *("'|u1'", "'<i8'", "'<f8'", "'>f4'", "'<f2'", "'|b1'", "'<u8'", "'<c8'", "'<M8[ns]'", "'<m8'", "'|S5'", "'<U3'"),
    *("'|O'", "'<f16'", "'|V0'", "'|V7'", "'|S0'", "'<U0'", "'|V2147483647'", "'i'", "'u1,f4'", "'nonsense'", "''"),
    *("[('a', '<i4'), ('b', '<f8')]", "[('a', '|u1', (3,))]", "[('a', [('b', '|u1')])]", "[('', '|u1')]", "[]"),
    *("[('a', '|V0')]", "[(('t', 'a'), '<i4')]", "('<i4', (2,))", "{'names': ['a'], 'formats': ['u1']}", "None", "1"),
    *("'<i8' " * 2, "'|u1' # é", "[('a\\x1b[31m', '|u1')]"),
)
SHAPES = (
    *("()", "(0,)", "(1,)", "(3,)", "(0, 4)", "(1, 4)", "(4,)", "(2, 6)", "(1, 4, 1)", "(40, 60)", "(40, 60, 3)"),
    *("(3, 40, 60)", "(-1,)", "(-1, 4)", "(2**40,)", "(9223372036854775807,)", "(18446744073709551616, 4)", "(True,)"),
    *("(1.5,)", "(40L, 60L, 3L)", "[40, 60]", "None", "'a'", f"({'1, ' * 40})", f"({'1, ' * 70})", "(65535, 65535)"),
    *("(" * 150 + ")" * 150, "(" + "9" * 5000 + ",)", "(0, 99999999999)", "(2147483647, 2147483647)", "(70000, 4)"),
)
PADS = (b" ", b"\0", b"\n", b"#", b"\xff", b"\t")
KEYS = ("imgs", "boxes", "spacing")


def npz(dice: random.Random, folder: Path) -> Trial:
    """A folder of about ten of them, and two good ones that come last."""
    inputs = folder / INPUTS
    inputs.mkdir()
    names = []
    for i in range(10):
        is_volume = dice.random() < 0.4
        name = odd.file_name(dice, f"{'3D' if is_volume else '2D'}_{i}", ".npz")
        write_odd(dice, inputs / name, is_volume=is_volume)
        names.append(f"{INPUTS}/{name}")
    return beside_good(folder, names)


def beside_good(folder: Path, names: list[str]) -> Trial:
    """Return the trial of `repmedsam predict` on these and two good cases."""
    (folder / INPUTS / "2D_zz_good.npz").write_bytes(good.npz())
    (folder / INPUTS / "3D_zz_good.npz").write_bytes(good.npz(is_volume=True))
    results = {f"{OUTPUTS}/{d}_zz_good.npz": f"npz {d}" for d in ("2D", "3D")}
    return Trial(folder, ["predict", "-i", INPUTS, "-o", OUTPUTS], names, results)


def write_odd(dice: random.Random, path: Path, *, is_volume: bool) -> None:
    what = dice.random()
    if what < 0.2:
        path.write_bytes(odd.damaged(dice, good.npz(is_volume=is_volume)))
    elif what < 0.25:
        path.write_bytes(odd.damaged(dice, good.npz(is_volume=is_volume)[-300:]))
    elif what < 0.27:
        write_many_members(dice, path)
    elif what < 0.28:
        write_huge(dice, path, is_volume=is_volume)
    elif what < 0.31:
        write_bomb(dice, path, is_volume=is_volume)
    else:
        write_odd_members(dice, path, is_volume=is_volume)


def write_odd_members(dice: random.Random, path: Path, *, is_volume: bool) -> None:
    """One or two arrays with an odd header, the others good; sometimes an archive that lies as well."""
    arrays = {"imgs": good.volume() if is_volume else good_image(), "spacing": np.array([3.0, 1.0, 1.0])}
    arrays["boxes"] = np.array([good.BOX_3D if is_volume else good.BOX_2D])
    odd_keys = dice.sample(KEYS, dice.choice((1, 1, 2)))
    members = []
    for key in KEYS:
        content = npy(dice, arrays[key]) if key in odd_keys else _npy(_header(arrays[key]), arrays[key].tobytes())
        members.append(Member(f"{key}.npy".encode(), content, dice.choice((STORED, DEFLATED))))
    if dice.random() < 0.3:
        at = dice.randrange(len(members))
        members[at] = lying(dice, members[at])
    if dice.random() < 0.1:
        members.append(dice.choice(members))
    if dice.random() < 0.1:
        members.append(Member(odd.text(dice).encode("utf-8", "surrogatepass")[:60_000], b"more"))
    if dice.random() < 0.1:
        members.pop(dice.randrange(len(members)))
    entries = dice.choice(odd.INTEGERS) if dice.random() < 0.1 else None
    write_zip(path, members, entries=entries, comment=dice.randbytes(dice.choice((0, 0, 0, 22, 60_000))))


def npy(dice: random.Random, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    """Return an npy member whose header is odd; its size is often the one that the header declares."""
    dtype = repr(array.dtype.str) if dice.random() < 0.4 else dice.choice(DTYPES)
    shape = repr(array.shape) if dice.random() < 0.4 else dice.choice(SHAPES)
    order = dice.choice(("False", "False", "True", "1", "'x'"))
    header = f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if dice.random() < 0.1:
        header = dice.choice((header[:-3], f"{header}{header}", header.replace("descr", "DESCR"), "0", "(" * 3000, ""))
    if dice.random() < 0.1:
        header = header.replace("}", f", {odd.text(dice)!r}: 1}}")
    raw = header.encode("latin-1", "replace")
    if dice.random() < 0.1:
        raw = odd.damaged(dice, raw)
    payload = array.tobytes()
    if dice.random() < 0.7:
        payload = payload_of(dice, dtype, shape, payload)
    version = dice.choice(((1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (0, 0), (255, 255)))
    return _npy(raw, payload, version, dice.choice(PADS) if dice.random() < 0.1 else b" ")


def payload_of(dice: random.Random, dtype: str, shape: str, payload: bytes) -> bytes:
    """Return as many bytes as dtype and shape declare, where these make sense and are few."""
    try:
        size = math.prod(eval(shape)) * np.dtype(eval(dtype)).itemsize
    except (TypeError, ValueError, SyntaxError, MemoryError):
        return payload
    if not isinstance(size, int) or not 0 <= size <= 1 << 20:
        return payload
    filling = dice.choice((payload, bytes(8), b"\xff" * 8, np.float64(math.nan).tobytes(), dice.randbytes(64)))
    return (filling * (size // max(1, len(filling)) + 1))[:size]


def write_many_members(dice: random.Random, path: Path) -> None:
    count = dice.choice((999, 1001, 5000, 65_535, 200_000))
    write_zip(path, [Member(b"%d.npy" % i, b"") for i in range(count)], entries=min(count, 65_535))


def write_huge(dice: random.Random, path: Path, *, is_volume: bool) -> None:
    """An array of a honest size up to 2 GiB that takes no space on the disk: a hole of zeros."""
    size = dice.choice((300 << 20, 1 << 30, (2 << 30) - 4096))
    shapes: dict[str, tuple[int, ...]] = {"imgs": (size // 2**20, 1024, 1024) if is_volume else (size // 2**15, 2**15)}
    shapes |= {"boxes": (size // (32 + 16 * is_volume), 4 + 2 * is_volume), "spacing": (size // 8,)}
    key = dice.choice(KEYS if is_volume else KEYS[:2])
    members = []
    for name in KEYS:
        shape = shapes[name] if name == key else {"imgs": (40, 60), "boxes": (1, 4), "spacing": (3,)}[name]
        dtype = "|u1" if name == "imgs" else "<f8"
        header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
        members.append(
            Member(f"{name}.npy".encode(), _npy(header, b""), hole=math.prod(shape) * np.dtype(dtype).itemsize)
        )
    write_zip(path, members)


def write_bomb(dice: random.Random, path: Path, *, is_volume: bool) -> None:
    """Zeros that inflate a thousandfold: declared, or beyond what is declared."""
    size = dice.choice((1 << 20, 30 << 20))
    declared = dice.choice((size, size // 2, 2400))
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({declared // 60}, 60), }}".encode()
    imgs = Member(b"imgs.npy", _npy(header, bytes(size)), DEFLATED)
    boxes = np.array([good.BOX_3D if is_volume else good.BOX_2D] * dice.choice((1, 300)), np.float64)
    boxes[:, 0] = dice.choice((5, math.nan, -1e308, math.inf))
    write_zip(path, [imgs, Member(b"boxes.npy", _npy(_header(boxes), boxes.tobytes()), DEFLATED)])


def _header(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    return f"{{'descr': {array.dtype.str!r}, 'fortran_order': False, 'shape': {array.shape}, }}".encode()


def _npy(header: bytes, payload: bytes, version: tuple[int, int] = (1, 0), pad: bytes = b" ") -> bytes:
    wide = version != (1, 0)
    start = 8 + (4 if wide else 2)
    header += pad * (-(start + len(header) + 1) % 64) + b"\n"
    length = struct.pack("<I" if wide else "<H", len(header) % (2**32 if wide else 2**16))
    return b"\x93NUMPY" + bytes(version) + length + header + payload
