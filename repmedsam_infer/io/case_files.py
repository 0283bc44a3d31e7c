"""Npz cases in a folder, and what their names say. Light: networks are begun with before numpy is imported."""

from pathlib import Path

from repmedsam_infer.errors import UsageError

MANIFESTS = (".csv", ".jsonl")


def is_volume_name(name: str) -> bool:
    return name.startswith("3D")


def modality_of(name: str) -> str:
    """Return the second part of a case's name: 2DBox_CT_abdomen_0001.npz -> CT."""
    parts = Path(name).stem.split("_")
    return parts[1] if len(parts) > 1 else "unknown"


def dataset_of(name: str) -> str:
    """Return a case's name without its number: 2DBox_CT_abdomen_0001.npz -> 2DBox_CT_abdomen."""
    return Path(name).stem.rsplit("_", 1)[0]


def is_manifest(path: Path) -> bool:
    """Whether a path has a manifest's ending, and is no folder."""
    return path.suffix.lower() in MANIFESTS and not path.is_dir()


def find_cases(folder: Path) -> list[Path]:
    """Return the npz files of a folder in order of name, without hidden ones.

    Raises:
        UsageError: there is no such folder, it cannot be read, or nothing is in it.

    """
    if folder.is_file():
        raise UsageError(
            f"{folder} is a file, and a folder of npz cases is needed, or a manifest (.csv, .jsonl); "
            "`repmedsam segment` takes images as they are"
        )
    if not folder.is_dir():
        raise UsageError(f"the folder {folder} does not exist")
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".npz" and not path.name.startswith("."))
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be read ({error.strerror})") from error
    if not paths:
        raise UsageError(f"there are no .npz files in {folder}")
    return paths
