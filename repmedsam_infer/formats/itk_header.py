"""Headers of NRRD and MetaImage, checked before ITK reads them.

ITK opens whatever file a header names, and a few kinds of odd headers end the process: numbers of axes that nobody has,
very long lines, voxels that are said to be text and are not.
"""

import re
from pathlib import Path

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.opening import check_file

START, MOST_HEADER = 1 << 16, 16 << 20  # bytes: nearly every header is in the first, and none is longer than the second
MOST_FIELDS = 10_000  # of a writer's own; ITK takes their number's square, and 1000 segments have 7000
LONGEST_LINE = 1_000  # characters of a field of the format itself
NRRD_AXES, METAIMAGE_AXES = 16, 10  # as the formats have it
LINE_END = re.compile(rb"\r\n?")  # ITK ends lines at a CR alone, too
OTHER_FILE = re.compile(rb"^\s*(?:ElementDataFile\s*[=:]|data ?file:)[ \t]*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)
AXES = re.compile(rb"^\s*(?:NDims\s*[=:]|dimension:)[ \t]*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)
ENCODING = re.compile(rb"^encoding:\s*(\S*)", re.MULTILINE | re.IGNORECASE)
TEXT = (b"ascii", b"text", b"txt")
INSIDE = {"LOCAL", "Local", "local"}


def check_header(path: Path) -> None:
    """Check the header of a file of NRRD or MetaImage.

    Raises:
        CaseReadError: it names a file elsewhere or one that is not there, or nobody writes such a header.

    """
    head = read_head(path)
    is_nrrd = head.startswith(b"NRRD")
    most = NRRD_AXES if is_nrrd else METAIMAGE_AXES
    for axes in AXES.findall(head):
        if not (axes.isdigit() and len(axes) < 4 and 1 <= int(axes) <= most):
            raise CaseReadError(f"{path.name}: its header declares {text_of(axes)!r} axes: it is damaged")
    if is_nrrd:
        check_fields(path.name, head)
    check_other_file(path, head)


def read_head(path: Path) -> bytes:
    """Return the header; of MetaImage, whose end is not marked, the first START bytes."""
    with path.open("rb") as file:
        head = LINE_END.sub(b"\n", file.read(START))
        if not head.startswith(b"NRRD"):
            return head
        if b"\n\n" not in head:
            file.seek(0)
            head = LINE_END.sub(b"\n", file.read(MOST_HEADER))
        is_cut = file.read(1) != b"" and b"\n\n" not in head
    head = head.split(b"\n\n", 1)[0]
    if is_cut:
        raise CaseReadError(f"{path.name}: its header is longer than {MOST_HEADER >> 20} MiB: it is damaged")
    return head


def check_fields(name: str, head: bytes) -> None:
    """Raise CaseReadError where lines of an NRRD header are such as nobody writes."""
    own = 0
    for line in head.splitlines():
        if b":=" in line:
            own += 1
        elif len(line) > LONGEST_LINE and not line.lower().startswith((b"#", b"content:")):
            field = text_of(line.partition(b":")[0])[:40]
            raise CaseReadError(
                f"{name}: the field {field!r} of its header has {len(line):,} characters: it is damaged"
            )
    if own > MOST_FIELDS:
        raise CaseReadError(f"{name}: its header has {own:,} fields of its own; at most {MOST_FIELDS:,} are read")
    if any(encoding.lower() in TEXT for encoding in ENCODING.findall(head)):
        raise CaseReadError(f"{name}: its voxels are stored as text: write it with the encoding raw or gzip")


def check_other_file(path: Path, head: bytes) -> None:
    """Check that a header whose voxels are in another file names one beside it: it could name any of the machine's."""
    named = OTHER_FILE.search(head)
    if named is None and not head.startswith(b"NRRD"):
        raise CaseReadError(f"{path.name}: cannot be read: its header does not say where its voxels are")
    other = text_of(named[1]) if named else "LOCAL"
    if other in INSIDE:
        return
    is_name = other.isprintable() and Path(other).name == other and "%" not in other
    if not is_name or not other or other.split()[0].upper() == "LIST":
        raise CaseReadError(
            f"{path.name}: its voxels are said to be in {other[:80]!r}; "
            "only one file in the same folder is read: write it as one .nrrd or .mha"
        )
    try:
        check_file(path.with_name(other))
    except CaseReadError as error:
        raise CaseReadError(f"{path.name}: its voxels are in a file beside it: {error}") from error


def text_of(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
