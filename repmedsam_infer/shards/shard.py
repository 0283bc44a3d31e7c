"""A shard: the cases of one process, where several share the work. Every case is in exactly one of N shards."""

import hashlib
import os
from dataclasses import dataclass

from repmedsam_infer.errors import UsageError

MOST_SHARDS = 1_000_000
ALL = "all"


@dataclass(frozen=True)
class Shard:
    """Shard `index`, from 1, of `count`.

    A case of a folder belongs to a shard by a hash of its name alone: whatever other cases there are, and whenever a
    process begins, it is in the same one; shards hold about as many cases each, not exactly. The rows of a manifest,
    which does not change while it is worked on, are dealt in turn, which balances better (docs/scale.md).
    """

    index: int
    count: int

    def holds_row(self, number: int) -> bool:
        """Whether row `number`, from 0, of a manifest is in this shard."""
        return number % self.count == self.index - 1

    def holds(self, name: str) -> bool:
        """Whether the case of that name in a folder is in this shard."""
        digest = hashlib.sha256(os.fsencode(name)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    def __str__(self) -> str:
        """Return it as it is written: 3/16."""
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard | int | None:
    """Return the shard that I/N means; of N alone how many there are; None of `all`.

    Raises:
        UsageError: it is none of these.

    """
    if text.strip() == ALL:
        return None
    index, slash, count = text.rpartition("/")
    if not (is_whole_number(count) and (is_whole_number(index) or not slash)):
        raise UsageError(f"--shard {text}: is written I/N, for example 3/16, or N, or {ALL}")
    most = int(count)
    if not 1 <= most <= MOST_SHARDS:
        raise UsageError(f"--shard {text}: there can be 1 to {MOST_SHARDS} shards")
    if not slash:
        return most
    if not 1 <= int(index) <= most:
        raise UsageError(f"--shard {text}: shards are counted from 1, so I is 1 to {most}")
    return Shard(int(index), most)


def is_whole_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9
