"""What the ending of a file's name says of it."""

import os
from collections.abc import Sequence
from pathlib import Path

from repmedsam_infer.errors import UsageError

NIFTI = (".nii.gz", ".nii")
NRRD = (".seg.nrrd", ".nrrd", ".nhdr")
METAIMAGE = (".mha", ".mhd")
PICTURE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DICOM = (".dcm", ".dicom", ".ima")
OUTPUTS = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha", ".png", ".dcm", ".npz")  # of label maps


def ending_of(path: Path) -> str:
    """Return the ending in small letters, of those above; empty if it is none of them."""
    name = path.name.lower()
    return next(
        (ending for ending in (*NIFTI, *NRRD, *METAIMAGE, *PICTURE, *DICOM, ".npz") if name.endswith(ending)), ""
    )


def output_path(text: str) -> Path:
    """Return the path of an output: a file of an ending that can be written, or a folder, whose name has no dot, is
    there already, or ends with a slash.

    Raises:
        UsageError: it looks like a file's name, misspelt.

    """
    path = Path(text)
    ends = text.endswith(("/", os.sep))
    try:
        is_there = path.is_dir()
    except OSError as error:  # a name that is too long
        raise UsageError(f"{text}: cannot be written ({error.strerror})") from error
    if path.suffix in ("", ".") or path.name == ".." or ending_of(path) or ends or is_there:
        return path
    raise UsageError(
        f"{path.name}: label maps are written as {', '.join(OUTPUTS)}; a new folder of that name is given with a slash "
        f"at its end ({path.name}/)"
    )


def with_names(paths: Sequence[Path]) -> list[Path]:
    """Paths that have a last part, which "." and ".." have not."""
    return [path if path.name not in ("", "..") else path.resolve() for path in paths]


def name_of(path: Path) -> str:
    """Return the file's name without its ending; whole where the ending is not known."""
    ending = ending_of(path)
    return path.name[: -len(ending)] if ending and len(path.name) > len(ending) else path.name


def own_ending(path: Path) -> str:
    """Return the ending that a result has which goes beside others of its input's kind."""
    ending = ending_of(path)
    try:
        is_folder = path.is_dir()
    except OSError:  # which is said when it is read
        is_folder = False
    if is_folder or ending in DICOM or path.name.upper() == "DICOMDIR":
        return ".dcm"
    if ending in NIFTI:
        return ".nii.gz"
    if ending == ".npz":
        return ".npz"
    return ".png" if ending in PICTURE else ".mha" if ending in METAIMAGE else ".nrrd"
