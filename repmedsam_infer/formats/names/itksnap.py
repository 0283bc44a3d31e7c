"""ITK-SNAP's label descriptions: a text file of colours and names beside a label map.

A line a label: number, red, green, blue (0 to 255), opacity (0 to 1), visible, visible in 3D, and the name in quotes,
which may hold no quotes and may not be empty. Lines that begin with # are comments. In ITK-SNAP: Segmentation, Import
Label Descriptions.
"""

from collections.abc import Sequence
from pathlib import Path

from repmedsam_infer.drawing.label_colours import label_colours
from repmedsam_infer.formats.endings import METAIMAGE, NIFTI, NRRD, ending_of, name_of
from repmedsam_infer.formats.names.printed import printed
from repmedsam_infer.formats.names.slicer import MOST_SEGMENTS
from repmedsam_infer.io.atomic import write_result
from repmedsam_infer.system.regular import open_regular

HEADER = """\
# ITK-SNAP label descriptions
# IDX  -R-  -G-  -B-  -A-- VIS MSH  LABEL
    0    0    0    0     0   0   0  "Clear Label"
"""


def description_path(labels: Path) -> Path:
    """Where the descriptions of a label map go: ct.labels.txt beside ct.nii.gz."""
    return labels.with_name(f"{name_of(labels)}.labels.txt")


def may_be_described(labels: Path) -> bool:
    """Whether a file of descriptions may be written beside a label map."""
    return ending_of(labels) in (*NIFTI, *NRRD, *METAIMAGE)


def is_description(path: Path) -> bool:
    """Whether `write_label_description` wrote what is there."""
    start = HEADER.encode()
    try:
        with open_regular(path, links=False) as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def describe_labels(labels: Path, names: Sequence[str]) -> None:
    """Write names beside a label map that cannot hold them itself: NIfTI, MetaImage, NRRD of very many labels.

    Raises:
        CaseWriteError: they could not be written.

    """
    ending = ending_of(labels)
    if ending in (*NIFTI, *METAIMAGE) or (ending in NRRD and len(names) > MOST_SEGMENTS):
        write_label_description(description_path(labels), names)


def write_label_description(path: Path, names: Sequence[str]) -> None:
    """Write the colours and names of labels 1, 2, ..., whole or not at all; what is there is replaced.

    Raises:
        CaseWriteError: it could not be written.

    """
    lines = [HEADER]
    for label, (name, colour) in enumerate(zip(names, label_colours(len(names)).tolist()[1:], strict=True), 1):
        red, green, blue = colour
        text = printed(name, label).replace('"', "'")
        lines.append(f'{label:5d} {red:4d} {green:4d} {blue:4d}     1   1   1  "{text}"\n')
    write_result(path, "".join(lines).encode("utf-8"), "the names of its labels")
