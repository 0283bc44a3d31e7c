"""Series with several images at each position (times, echoes, diffusion weightings): the ones of one volume."""

from collections.abc import Sequence

import numpy as np

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.frames import DicomFrame
from repmedsam_infer.formats.dicom.geometry import SAME_POSITION, SlicePosition, axes_of, check_alike
from repmedsam_infer.formats.volumes import choose_volume

# What tells volumes apart, by their order: keyword, its group in multi-frame files, and what messages call it.
KEYS = (
    ("EchoTime", "", "echo time"),
    ("EffectiveEchoTime", "MREchoSequence", "echo time"),
    ("DiffusionBValue", "MRDiffusionSequence", "b-value"),
    ("TemporalPositionIdentifier", "", "time"),
    ("TemporalPositionIndex", "FrameContentSequence", "time"),
)
# What orders them where these are the same; slices of one volume differ in it.
NUMBERS = (("InstanceNumber", "", "number"), ("AcquisitionNumber", "", "acquisition"))


def words_of_keys() -> str:
    return ", ".join(dict.fromkeys(words for _, _, words in (*KEYS, *NUMBERS)))


def volumes_at_places(name: str, planes: Sequence[SlicePosition]) -> list[list[int]]:
    """Of each position along the normal, the planes that lie there.

    Raises:
        CaseReadError: they lie in different directions.

    """
    rows, columns = axes_of(name, planes[0])
    check_alike(name, planes)
    along = np.stack([plane.position for plane in planes]) @ np.cross(rows, columns)
    order = np.argsort(along, kind="stable")
    places = np.split(order, np.flatnonzero(np.diff(along[order]) >= SAME_POSITION) + 1)
    return [place.tolist() for place in places]


def frames_of_volume(
    name: str,
    frames: Sequence[DicomFrame],
    planes: Sequence[SlicePosition],
    volume: int | None,
    notes: list[str],
) -> list[int]:
    """Return the places of the frames of the volume that is meant; of all where there is one.

    Raises:
        CaseReadError: there are several and none is named, or images at one position cannot be told apart.

    """
    places = volumes_at_places(name, planes)
    counts = {len(place) for place in places}
    if len(counts) > 1:
        return list(range(len(frames)))  # no stack, which is said where they are stacked
    count = counts.pop()
    if count == 1:
        choose_volume(name, 1, volume)
        return list(range(len(frames)))
    index = choose_volume(name, count, volume, f"{count} images at each of {len(places)} positions")
    order = (*KEYS, *NUMBERS)
    values = [[frame.numbers(keyword, 1, group) or (0.0,) for keyword, group, _ in order] for frame in frames]
    for place in places:
        if any(frames[i].is_only for i in place) and len({str(values[i]) for i in place}) < count:
            raise CaseReadError(
                f"{name}: images at one position cannot be told apart (their {words_of_keys()} are the same); "
                "give a folder with one volume"
            )
    chosen = [sorted(place, key=lambda i: (values[i], i))[index] for place in places]
    kinds = {str(frames[i].find("ImageType")) for i in chosen}
    if len(kinds) > 1:
        raise CaseReadError(
            f"{name}: its images at each position cannot be told apart (volume {index} would have {len(kinds)} "
            "kinds of ImageType); give a folder with one volume"
        )
    for column, (_, _, words) in enumerate(KEYS):
        found = {values[i][column] for i in chosen}
        if len(found) > 1:
            raise CaseReadError(
                f"{name}: its images at each position cannot be told apart (volume {index} would have "
                f"{len(found)} values of {words}); give a folder with one volume"
            )
    differing = [w for column, (_, _, w) in enumerate(order) if len({str(v[column]) for v in values}) > 1]
    by = ", ".join(dict.fromkeys(differing)) or "place in the file"
    notes.append(f"volume {index} of 0..{count - 1} was taken: the images at each position in order of {by}")
    return chosen
