"""What the ending of a file's name says of it."""

from collections.abc import Sequence
from pathlib import Path

NIFTI = (".nii.gz", ".nii")
ITK = (".seg.nrrd", ".nrrd", ".mha", ".mhd")
PICTURE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DICOM = (".dcm", ".dicom", ".ima")
OUTPUTS = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha", ".png", ".dcm", ".npz")  # of label maps


def ending_of(path: Path) -> str:
    """Return the ending in small letters, of those above; empty if it is none of them."""
    name = path.name.lower()
    return next((ending for ending in (*NIFTI, *ITK, *PICTURE, *DICOM, ".npz") if name.endswith(ending)), "")


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
    if path.is_dir() or ending in DICOM:
        return ".dcm"
    if ending in NIFTI:
        return ".nii.gz"
    if ending == ".npz":
        return ".npz"
    return ".png" if ending in PICTURE else ".mha" if ending in (".mha", ".mhd") else ".nrrd"
