"""Which DICOM files make the one image that was asked for: a file alone, or one series of a folder or of a DICOMDIR.

Headers only; pixels are pixels.py's. What is no image (reports, contours, indices) and what is no DICOM at all is
left out with a warning where images are there too, and refused by its name where it is all there is.
"""

import filecmp
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.files import BRIEF, DICOMDIR, NO_IMAGES, DicomFile, NotDicomError, read_header
from repmedsam_infer.formats.endings import METAIMAGE, NIFTI, NRRD, PICTURE, ending_of

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_FILES = 20_000  # in one folder, those below it included
MAX_DEPTH = 8  # of folders in folders
MAX_NAMED = 8  # files, series or folders that a message names


def find_images(path: Path, series: str | None, notes: list[str]) -> list[DicomFile]:
    """Return the files of one series, each with its whole header; in order of name.

    Args:
        path: a file; a folder: its files, or where none of them is an image those of folders in it; or a DICOMDIR:
            the files that it lists.
        series: SeriesInstanceUID or series number, where there are several.
        notes: takes what the user should know.

    Raises:
        CaseReadError: nothing is there, nothing of it is an image, or it is not clear which series is meant.

    """
    if path.is_dir():
        found = images_in(path, notes)
    else:
        file = DicomFile(path, read_header(path, BRIEF))
        if file.sop_class != DICOMDIR:
            chosen = [_image(file)]
            if series is not None:
                chosen = _choose_series(path.name, chosen, series)
            return [_whole(file) for file in chosen]
        found = images_of(path.name, path.parent, listed_in(path, notes), notes)
    chosen = _choose_series(path.name, found, series)
    return [_whole(file) for file in _without_localizers(_without_copies(chosen, notes), notes)]


def _whole(file: DicomFile) -> DicomFile:
    return DicomFile(file.path, _public(read_header(file.path, None)), file.name)


def _public(header: "Dataset") -> "Dataset":
    """Without private tags: makers keep a hundred kB of their own in each slice."""
    for tag in [tag for tag in header.keys() if tag.is_private]:  # noqa: SIM118  iterating would decode every value
        del header[tag]
    return header


def _image(file: DicomFile) -> DicomFile:
    if file.kind:
        advice = "export the image again" if file.is_header else "give the images that it was made from"
        raise CaseReadError(f"{file.name}: is {file.kind}, not an image; {advice}")
    return file


def images_in(folder: Path, notes: list[str]) -> list[DicomFile]:
    """All images of a folder with their brief headers; those of folders in it where it has none itself."""
    own = files_in(folder, 0)
    if any(_is_image(path) for path in own):
        return images_of(folder.name, folder, own, notes)
    found = files_in(folder, MAX_DEPTH)
    if not found:
        raise CaseReadError(f"{folder.name}: there are no files in this folder")
    return images_of(folder.name, folder, found, notes)


def files_in(folder: Path, depth: int) -> list[Path]:
    """Return the files of a folder and, `depth` folders deep, of those in it, without hidden ones; links to folders
    are not followed.

    Raises:
        CaseReadError: it cannot be read, or there are too many.

    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        folders = [entry for entry in entries if entry.is_dir()]
        found = [entry for entry in entries if entry not in folders]
    except OSError as error:
        raise CaseReadError(f"{folder.name}: the folder cannot be read ({error.strerror})") from error
    for inner in folders if depth else ():
        if not inner.is_symlink():
            found += files_in(inner, depth - 1)
        if len(found) > MAX_FILES:
            break
    if len(found) > MAX_FILES:
        raise CaseReadError(f"{folder.name}: more than {MAX_FILES} files in one folder; give the folder of one series")
    return found


def _is_image(path: Path) -> bool:
    try:
        return not DicomFile(path, read_header(path, BRIEF)).kind
    except NotDicomError:
        return False
    except CaseReadError:
        return True  # one that is damaged; it is named when it is read


def listed_in(path: Path, notes: list[str]) -> list[Path]:
    """Return the files that a DICOMDIR lists and that are there, all of them below its folder.

    Raises:
        CaseReadError: it is damaged, or lists none that is there.

    """
    try:
        records = read_header(path, None).get("DirectoryRecordSequence") or ()
        ids = [record.get("ReferencedFileID") for record in records]
        parts = [
            [of_file] if isinstance(of_file, str) else [str(part) for part in of_file] for of_file in ids if of_file
        ]
    except CaseReadError:
        raise
    except Exception as error:  # values are parsed only here
        raise CaseReadError(f"{path.name}: its list of files cannot be read ({error})") from error
    # A part with a separator, or "..", would lead out of the folder.
    safe = [of_file for of_file in parts if all(Path(part).name == part for part in of_file)]
    paths = dict.fromkeys(path.parent.joinpath(*of_file) for of_file in safe)
    there = [file for file in paths if file.is_file()]
    if not there:
        raise CaseReadError(
            f"{path.name}: is a DICOMDIR, an index of other files, and none of the {len(parts)} that it lists is "
            "there; give the folder of one series"
        )
    if len(there) < len(parts):
        notes.append(f"{len(parts) - len(there)} of the {len(parts)} files that it lists are not there")
    return there[:MAX_FILES]


def images_of(name: str, folder: Path, paths: Sequence[Path], notes: list[str]) -> list[DicomFile]:
    """Return those of `paths`, all below `folder`, that are images, with their brief headers."""
    images: list[DicomFile] = []
    others: dict[str, list[str]] = {}
    foreign: list[str] = []
    for path in paths:
        called = path.relative_to(folder).as_posix()
        try:
            file = DicomFile(path, read_header(path, BRIEF), called)
        except NotDicomError:
            foreign.append(called)
            continue
        if file.kind:
            others.setdefault(file.kind, []).append(called)
        else:
            images.append(file)
    if not images and not others:
        readable = [path for path in paths if ending_of(path) in (*NIFTI, *NRRD, *METAIMAGE, *PICTURE)]
        advice = f"; give its files by name ({_listed([path.name for path in readable])})" if readable else ""
        raise CaseReadError(f"{name}: none of the {len(paths)} files in this folder is a DICOM file{advice}")
    if not images:
        kinds = "; ".join(f"{kind}: {_listed(names)}" for kind, names in others.items())
        raise CaseReadError(f"{name}: no images in this folder, only {kinds}; give the folder of the images")
    if foreign:
        notes.append(f"{len(foreign)} files are not DICOM and were ignored ({_listed(foreign)})")
    others.pop(NO_IMAGES[DICOMDIR], None)  # which belongs to them
    notes += [f"{len(names)} files are {kind} and were ignored ({_listed(names)})" for kind, names in others.items()]
    return images


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")


def _choose_series(name: str, files: list[DicomFile], series: str | None) -> list[DicomFile]:
    """Those of the series that was asked for, or of the only one there is."""
    uids = dict.fromkeys(file.series for file in files)
    by_series = {uid: [file for file in files if file.series == uid] for uid in uids}
    if series is not None:
        wanted = series.strip()
        matching = [uid for uid, group in by_series.items() if wanted in (uid, group[0].series_number)]
        if len(matching) == 1:
            return by_series[matching[0]]
        problem = f"{len(matching)} series have the number {wanted}" if matching else f"there is no series {wanted}"
    elif len(by_series) == 1:
        return files
    else:
        problem = f"{len(by_series)} series"
    ordered = sorted(by_series.items(), key=lambda item: (len(item[1][0].series_number), item[1][0].series_number))
    lines = [_describe_series(uid, group) for uid, group in ordered]
    more = f"; and {len(lines) - MAX_NAMED} more" if len(lines) > MAX_NAMED else ""
    raise CaseReadError(
        f"{name}: {problem}; choose one by its number or SeriesInstanceUID with --series, "
        f"or give a folder that holds only it: {'; '.join(lines[:MAX_NAMED])}{more}"
    )


def _describe_series(uid: str, files: list[DicomFile]) -> str:
    header = files[0].header
    description = str(header.get("SeriesDescription") or "").strip() or "no description"
    modality = header.get("Modality") or "unknown modality"
    count = f"{len(files)} image{'s' if len(files) > 1 else ''}"
    folders = {Path(file.name).parent for file in files}
    where = f", in {folders.pop()}" if len(folders) == 1 and folders != {Path()} else ""
    return f"number {files[0].series_number or 'unknown'} ({description}, {modality}, {count}{where}, {uid})"


def _without_copies(files: list[DicomFile], notes: list[str]) -> list[DicomFile]:
    """One file of each image; byte by byte equal copies are left out."""

    def instance(file: DicomFile) -> str:
        return str(file.header.get("SOPInstanceUID", ""))

    kept: list[DicomFile] = []
    copies: list[str] = []
    for _, group in groupby(sorted(files, key=lambda file: (instance(file), file.path)), instance):
        first, *others = group
        kept.append(first)
        for other in others:
            if filecmp.cmp(first.path, other.path, shallow=False):
                copies.append(other.name)
            else:
                kept.append(other)
    if copies:
        notes.append(f"{len(copies)} files are copies of others and were ignored ({_listed(copies)})")
    return sorted(kept, key=lambda file: file.path)


def _without_localizers(files: list[DicomFile], notes: list[str]) -> list[DicomFile]:
    images = [file for file in files if not file.is_localizer]
    if not images or len(images) == len(files):
        return files
    names = [file.name for file in files if file.is_localizer]
    notes.append(f"{len(names)} localizers among the images were ignored ({_listed(names)})")
    return images
