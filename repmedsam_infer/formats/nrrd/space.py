"""Where a header of NRRD says that its voxels lie, in LPS and as ITK understands it."""

import re

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.nrrd.axes import along_and_values
from repmedsam_infer.formats.nrrd.header import NrrdHeader
from repmedsam_infer.formats.voxels.fields import damaged, number, whole
from repmedsam_infer.formats.voxels.layout import Layout
from repmedsam_infer.formats.voxels.place import Place, make_place

F64 = NDArray[np.float64]

TO_LPS = {
    **dict.fromkeys(("leftposteriorsuperior", "lps"), (1.0, 1.0, 1.0)),
    **dict.fromkeys(("leftanteriorsuperior", "las"), (1.0, -1.0, 1.0)),
    **dict.fromkeys(("rightanteriorsuperior", "ras"), (-1.0, -1.0, 1.0)),
}
# Number of axes of others, whose way to the patient the format does not say, or ITK does not go.
OTHERS = {
    **dict.fromkeys(("rightanteriorsuperiortime", "rast", "leftanteriorsuperiortime", "last"), 4),
    **dict.fromkeys(("leftposteriorsuperiortime", "lpst", "scannerxyztime", "scannerxyzt"), 4),
    **dict.fromkeys(("3drighthandedtime", "3dlefthandedtime"), 4),
    **dict.fromkeys(("scannerxyz", "3drighthanded", "3dlefthanded"), 3),
}
IN_LPS = ("leftposteriorsuperiortime", "lpst")
VECTOR = re.compile(r"\(([^()]*)\)|(none)(?![^\s(])", re.IGNORECASE)


@np.errstate(all="ignore")  # what comes of numbers that are too large, or of vectors of no length, is refused
def place_of_header(name: str, header: NrrdHeader, layout: Layout) -> Place:
    """Return where the voxels lie.

    Raises:
        CaseReadError: the header is damaged, contradicts itself, or has a space of another number of axes.

    """
    along, _ = along_and_values(name, header)
    count = space_axes(name, header)
    spacings = per_axis(name, header, "spacings")[along]
    if not count:
        spacing = np.where(np.isnan(spacings), 1.0, spacings)
        return make_place(name, origin_of_mins(name, header, layout, along), spacing, np.eye(len(along)))
    if count != len(along):
        raise CaseReadError(
            f"{name}: has {len(along)} axes of voxels in a space of {count}; write it with one axis of voxels for each"
        )
    if not np.isnan(spacings).all():
        raise CaseReadError(
            f"{name}: its header has spacings besides a space, which contradict each other: it is damaged"
        )
    to_lps = np.array(TO_LPS.get(space_of(header), (1.0,) * count))
    spacing, axes, origin = np.ones(count), np.eye(count), np.zeros(count)
    if "spacedirections" in header.fields:
        vectors = vectors_of(name, header, "spacedirections", count)
        if len(vectors) != len(header.fields["sizes"].split()):
            raise damaged(name, "space directions", header.fields["spacedirections"])
        for axis, vector in enumerate(vectors[axis] for axis in along):
            if vector is not None:
                spacing[axis] = np.linalg.norm(vector)
                axes[:, axis] = to_lps * vector * (1.0 / spacing[axis])
    if "spaceorigin" in header.fields:
        (vector,) = vectors_of(name, header, "spaceorigin", count)[:1] or (None,)
        origin = origin if vector is None else to_lps * vector
    return make_place(name, origin, spacing, axes)


def space_of(header: NrrdHeader) -> str:
    """Return the space by its name in TO_LPS or OTHERS; empty where there is none."""
    return re.sub("[- ]", "", header.fields.get("space", "").lower())


def space_axes(name: str, header: NrrdHeader) -> int:
    """Return the number of axes of the space; 0 where there is no space."""
    space = space_of(header)
    if space in TO_LPS:
        return 3
    if space in OTHERS:
        return OTHERS[space]
    if space:
        raise damaged(name, "space", header.fields["space"])
    return whole(name, "space dimension", header.fields.get("spacedimension", "0"))


def warning_of(header: NrrdHeader) -> str | None:
    """Return what the user should know of a volume whose header does not say how it lies in the patient."""
    space = space_of(header)
    if space in TO_LPS or space in IN_LPS:
        return None
    said = f"its space is {header.fields['space']}" if space else "no space"
    return f"its header does not say how it lies in the patient ({said}): its axes were taken for left, back, head"


def per_axis(name: str, header: NrrdHeader, field: str) -> F64:
    """(N,) numbers of a field, one for each axis, in the order of the file; NaN where it is not there."""
    count = len(header.fields["sizes"].split())
    if field not in header.fields:
        return np.full(count, np.nan)
    words = header.fields[field].split()
    if len(words) != count:
        raise damaged(name, field, header.fields[field])
    return np.array([number(name, field, word) for word in words])


def vectors_of(name: str, header: NrrdHeader, field: str, count: int) -> list[F64 | None]:
    """Return vectors of `count` numbers, as in "(1,0,0) none (0,1,0)"; None for those that are none or NaN."""
    text = header.fields[field]
    if VECTOR.sub("", text).strip():
        raise damaged(name, field, text)
    vectors: list[F64 | None] = []
    for found in VECTOR.finditer(text):
        words = [] if found[1] is None else found[1].split(",")
        vector = np.array([number(name, field, word.strip()) for word in words])
        if words and (len(words) != count or np.isnan(vector).any() != np.isnan(vector).all()):
            raise damaged(name, field, text)
        vectors.append(None if not words or np.isnan(vector).all() else vector)
    return vectors


def origin_of_mins(name: str, header: NrrdHeader, layout: Layout, along: list[int]) -> F64:
    """(N,) where the first voxel lies without a space: in the middle of a cell that begins at the axis' least position,
    or, where voxels are nodes, at it; 0 where the header does not say it of every axis.
    """
    least, most = per_axis(name, header, "axismins")[along], per_axis(name, header, "axismaxs")[along]
    spacings = per_axis(name, header, "spacings")[along]
    centers = header.fields.get("centerings", "").lower().split()
    step = np.where(np.isnan(spacings), (most - least) / layout.sizes, spacings)
    if np.isnan(least).any() or np.isnan(step).any():
        return np.zeros(len(along))
    is_node = np.array([axis < len(centers) and centers[axis] == "node" for axis in along])
    return np.where(is_node, least, least + step / 2)
