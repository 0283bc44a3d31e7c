"""Where the weights are, and that they are the ones that were published."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from repmedsam_infer.errors import SetupError

SUMS = "SHA256SUMS"
VARIABLE = "REPMEDSAM_WEIGHTS"


@dataclass(frozen=True)
class Weights:
    """A folder of weights and the SHA-256 that each file must have."""

    folder: Path
    sums: dict[str, str]

    @property
    def sha256(self) -> str:
        """One name for the whole set: the SHA-256 of its list of sums."""
        listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.sums.items()))
        return hashlib.sha256(listing.encode()).hexdigest()

    def verified(self, *names: str) -> list[Path]:
        """Paths of these files, each read and found to be what SHA256SUMS says.

        Raises:
            SetupError: a file is missing, not listed, or damaged.

        """
        paths = []
        for name in names:
            path = self.folder / name
            if name not in self.sums:
                raise SetupError(f"{self.folder / SUMS} does not list {name}: these weights are not for this engine")
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise SetupError(f"{path} cannot be read ({error.strerror}); fetch the weights again") from error
            if digest != self.sums[name]:
                raise SetupError(f"{path} is damaged or was changed (SHA-256 differs); fetch the weights again")
            paths.append(path)
        return paths


def find_weights(folder: Path | None = None) -> Weights:
    """The weights in `folder`, else in $REPMEDSAM_WEIGHTS, else those that came with the package.

    Raises:
        SetupError: there are none.

    """
    if folder is None:
        folder = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else shipped_folder()
    try:
        lines = (folder / SUMS).read_text().splitlines()
        sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines if line.strip())}
    except (OSError, ValueError) as error:
        raise SetupError(f"no weights in {folder}: its {SUMS} cannot be read; see --weights and {VARIABLE}") from error
    return Weights(folder, sums)


def shipped_folder() -> Path:
    """Inside the package in a wheel, beside it in a clone and in the container."""
    package = Path(__file__).parent
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"
