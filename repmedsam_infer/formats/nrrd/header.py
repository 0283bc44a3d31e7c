"""Headers of NRRD: fields of the format ("sizes: 5 4 3") and of a writer's own ("Segment0_Name:=liver").

Fields: https://teem.sourceforge.net/nrrd/format.html
"""

import re
from dataclasses import dataclass
from pathlib import Path

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.voxels.fields import text_of

START, MOST_HEADER = 1 << 16, 16 << 20  # bytes: nearly every header is in the first, and none is longer than the second
MOST_FIELDS, MOST_LINES = 10_000, 20_000  # of a writer's own fields, and of lines: 1000 segments have 7000
LONGEST_LINE = 1_000  # characters of a field of the format itself
LINE_END = rb"(?>\r\n|\n|\r)"
HEADER_END = re.compile(LINE_END * 2)
MAGIC = re.compile(rb"NRRD(?:00\.01|000[1-5])\s*")
ESCAPED = re.compile(r"\\(n|\\)")
# By the name that other modules use: blanks in a name may be left out, and letters be large or small.
READ = (
    *("type", "dimension", "space", "spacedimension", "sizes", "spacings", "axismins", "axismaxs", "spacedirections"),
    *("spaceorigin", "centerings", "kinds", "endian", "encoding", "lineskip", "byteskip", "datafile"),
)
IGNORED = (
    *("content", "number", "blocksize", "thicknesses", "labels", "units", "min", "max", "oldmin", "oldmax"),
    *("sampleunits", "spaceunits", "measurementframe"),
)
OTHER_NAMES = {"centers": "centerings"}


@dataclass(frozen=True)
class NrrdHeader:
    """The text of a header.

    fields: of the format, by their names in READ; each is there once.
    own: those of the writer.
    end: the byte of the file at which the header ends.
    """

    fields: dict[str, str]
    own: dict[str, str]
    end: int


def read_header(path: Path) -> NrrdHeader:
    """Read a header.

    Raises:
        CaseReadError: it is none, or nobody writes such a header.

    """
    name = path.name
    head, end = read_head(path)
    first, _, rest = head.partition(b"\n")
    if not MAGIC.fullmatch(first):
        raise CaseReadError(f"{name}: cannot be read: it does not begin as NRRD does (NRRD0001 to NRRD0005)")
    own_count = rest.count(b":=")
    if own_count > MOST_FIELDS:
        raise CaseReadError(f"{name}: its header has {own_count:,} fields of its own; at most {MOST_FIELDS:,} are read")
    if rest.count(b"\n") > MOST_LINES:
        raise CaseReadError(f"{name}: its header has more than {MOST_LINES:,} lines: it is damaged")
    fields: dict[str, str] = {}
    own: dict[str, str] = {}
    for line in rest.split(b"\n"):
        if line and not line.startswith(b"#"):
            read_line(name, line, fields, own)
    return NrrdHeader(fields, own, end)


def read_head(path: Path) -> tuple[bytes, int]:
    r"""Return the header, lines ended by \n, and the byte at which it ends, behind its empty line."""
    with path.open("rb") as file:
        head = file.read(START)
        end = HEADER_END.search(head)
        if end is None and len(head) == START and head.startswith(b"NRRD"):
            head += file.read(MOST_HEADER - START)
            end = HEADER_END.search(head)
        is_cut = end is None and file.read(1) != b""
    if is_cut and head.startswith(b"NRRD"):
        raise CaseReadError(f"{path.name}: its header is longer than {MOST_HEADER >> 20} MiB: it is damaged")
    length = len(head) if end is None else end.end()
    return re.sub(LINE_END, b"\n", head[:length]), length


def read_line(name: str, line: bytes, fields: dict[str, str], own: dict[str, str]) -> None:
    """Add what a line says to `fields` or `own`.

    Raises:
        CaseReadError: it says nothing, or what was said before.

    """
    text = text_of(line)
    for mark in (": ", ":=", ":"):
        before, found, after = text.partition(mark)
        if found and mark == ":=":
            own[unescaped(before)] = unescaped(after)
            return
        field = before.strip().lower().replace(" ", "")
        field = OTHER_NAMES.get(field, field)
        if found and field in (*READ, *IGNORED):
            break
    else:
        raise CaseReadError(f"{name}: its header has the line {text[:40]!r}, which NRRD has not: it is damaged")
    if len(line) > LONGEST_LINE and field != "content":
        raise CaseReadError(
            f"{name}: the field {before[:40]!r} of its header has {len(line):,} characters: it is damaged"
        )
    if field in fields:
        raise CaseReadError(f"{name}: its header has the field {before[:40]!r} twice: it is damaged")
    if field in READ:
        fields[field] = after.strip()


def unescaped(text: str) -> str:
    return ESCAPED.sub(lambda found: "\n" if found[1] == "n" else "\\", text)


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
