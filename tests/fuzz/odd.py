"""Odd texts, numbers and bytes, and damage to bytes that were good."""

import random
from typing import Any

INTEGERS = (-1, 0, 1, 2, 3, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**64)
FLOATS = (0.0, -0.0, 0.5, -1.5, 1e-320, 1e-9, 1e9, 3.4e38, 1e308, -1e308, float("inf"), -float("inf"), float("nan"))
TEXTS = (
    "",
    " ",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "a\nb",
    "a\rb",
    "tab\tbed",
    "nul\0nul",
    "\u202egnp.elif",
    "half \ud800 half",
    "\udcff\udcfe",
    "\U0001f469\u200d\u2695\ufe0f",
    "é" * 200,
    "x" * 5000,
    "%s%n{0}{name}",
    "../up/up",
    "CON",
    "=1+1",
    "<script>alert(1)</script>",
    "[bold]not markup[/bold]",
)
EDGES = tuple(
    (value % (1 << (8 * size))).to_bytes(size, order)
    for value in (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63, 2**64 - 1)
    for size in (1, 2, 4, 8)
    for order in ("little", "big")
)


def number(dice: random.Random) -> int | float:
    """Return an odd one, or a small one."""
    return dice.choice((dice.choice(INTEGERS), dice.choice(FLOATS), dice.randint(-3, 70), dice.uniform(-3, 70)))


def text(dice: random.Random) -> str:
    if dice.random() < 0.8:
        return dice.choice(TEXTS)
    return "".join(chr(dice.choice((dice.randrange(128), dice.randrange(0x3000)))) for _ in range(dice.randint(1, 40)))


def value(dice: random.Random, depth: int = 3) -> Any:
    """Return something that JSON can hold, with what Python's JSON takes beyond the standard."""
    what = dice.randrange(8 if depth else 5)
    if what < 2:
        return number(dice)
    if what == 2:
        return text(dice)
    if what == 3:
        return dice.choice((None, True, False, [], {}, "1", "nan", 10**400, -(10**400)))
    if what == 4:
        return [number(dice) for _ in range(dice.randint(0, 7))]
    if what < 7:
        return [value(dice, depth - 1) for _ in range(dice.randint(0, 5))]
    return {text(dice)[:300]: value(dice, depth - 1) for _ in range(dice.randint(0, 5))}


def changed(dice: random.Random, content: Any) -> Any:
    """Return JSON-like content with one part of it replaced, removed or put in twice."""
    if isinstance(content, dict) and content and dice.random() < 0.85:
        key, action = dice.choice(list(content)), dice.random()
        if action < 0.12:
            return {k: v for k, v in content.items() if k != key}
        return {**content, (text(dice) if action < 0.2 else key): changed(dice, content[key])}
    if isinstance(content, list) and content and dice.random() < 0.85:
        at, action = dice.randrange(len(content)), dice.random()
        one = [] if action < 0.1 else [content[at]] * dice.choice((2, 3, 200)) if action < 0.2 else None
        return [*content[:at], *([changed(dice, content[at])] if one is None else one), *content[at + 1 :]]
    return value(dice)


def damaged(dice: random.Random, raw: bytes, head: int = 400) -> bytes:
    """Return bytes with one to four damages, half of them among the first `head`."""
    out = bytearray(raw)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        size = min(head, len(out)) if dice.random() < 0.5 else len(out)
        at = dice.randrange(size) if size else 0
        length = dice.choice((1, 2, 4, 16, 200))
        action = dice.randrange(9)
        if action < 2:
            for _ in range(dice.choice((1, 1, 8))):
                if out:
                    place = min(len(out) - 1, at + dice.randrange(length))
                    out[place] ^= 1 << dice.randrange(8)
        elif action < 4:
            edge = dice.choice(EDGES)
            out[at : at + len(edge)] = edge
        elif action == 4:
            del out[at:]
        elif action == 5:
            del out[at : at + length]
        elif action == 6:
            out[at:at] = dice.randbytes(length)
        elif action == 7:
            out[at : at + length] = bytes([dice.choice((0, 255, 32))]) * length
        else:
            out[at:at] = out[at : at + length] * dice.choice((1, 2, 50))
    return bytes(out)


def file_name(dice: random.Random, stem: str, ending: str) -> str:
    """Return a name that a file can have; now and then an odd one."""
    if dice.random() < 0.9:
        return f"{stem}{ending}"
    odd = text(dice).replace("/", "_").replace("\0", "_")
    odd = odd.encode("utf-8", "surrogateescape" if dice.random() < 0.7 and _escaped(odd) else "replace").decode(
        "utf-8", "surrogateescape"
    )
    name = f"{stem}_{odd}{ending}"
    while len(name.encode("utf-8", "surrogateescape")) > 240:
        odd = odd[: len(odd) // 2]
        name = f"{stem}_{odd}{ending}"
    return name


def _escaped(name: str) -> bool:
    """Whether the half surrogates in it are those of bytes that are not UTF-8."""
    return all("\udc80" <= character <= "\udcff" for character in name if "\ud800" <= character <= "\udfff")
