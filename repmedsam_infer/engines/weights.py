"""Where the weights are, and that they are the ones that were published.

All numbers lie in one file, `STORE`, with names and metadata. The torch engine and training read it as it is, and the
graphs of OpenVINO (.xml) refer to places in it. Only the int8 encoder has numbers of its own.
"""

import contextlib
import hashlib
import io
import json
import math
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeGuard

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.errors import SetupError
from repmedsam_infer.system.regular import open_regular

if TYPE_CHECKING:  # `info` reads metadata, and imports nothing heavy
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from repmedsam_infer.engines.confidence import ConfidenceModel

SUMS = "SHA256SUMS"
STORE = "repmedsam.safetensors"  # the re-parameterized network in 16 bits (repmedsam_train/weights/shipped_form.py)
CONFIDENCE = "confidence.safetensors"  # engines/confidence.py; weights may lack it
GRAPH_CONSTANTS = "openvino.constants"  # the tensor of what the graphs need besides the network's own
HEADER_LENGTH = struct.Struct("<Q")  # a safetensors file: this, so many bytes of JSON, the tensors
LONGEST_HEADER = 16 << 20
LONGEST_SUMS = 1 << 20
METADATA = "__metadata__"
VARIABLE = "REPMEDSAM_WEIGHTS"


@dataclass(frozen=True)
class Weights:
    """A folder of weights and the SHA-256 that each file must have."""

    folder: Path
    sums: dict[str, str]
    checked: dict[str, Path] = field(default_factory=dict, compare=False, repr=False)  # files that were verified
    checksums: dict[str, int] = field(default_factory=dict, compare=False, repr=False)  # CRC-32 of files
    lock: Lock = field(default_factory=Lock, compare=False, repr=False)

    @property
    def sha256(self) -> str:
        """One name for the whole set: the SHA-256 of its list of sums."""
        return hashlib.sha256(listing(self.sums).encode()).hexdigest()

    def verified(self, *names: str) -> list[Path]:
        """Paths of these files, each found to be what SHA256SUMS says; every file is read for that but once.

        Raises:
            SetupError: a file is missing, not listed, or damaged.

        """
        with self.lock:
            for name in names:
                if name not in self.checked:
                    self.checked[name] = self.check(name)
        return [self.checked[name] for name in names]

    def check(self, name: str) -> Path:
        path = self.folder / name
        if name not in self.sums:
            raise SetupError(f"{self.folder / SUMS} does not list {name}: these weights are not for this engine")
        try:
            with open_regular(path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SetupError(f"{path} cannot be read ({error.strerror}); fetch the weights again") from error
        if digest != self.sums[name]:
            raise SetupError(f"{path} is damaged or was changed (SHA-256 differs); fetch the weights again")
        return path

    def crc32(self, name: str) -> int:
        """Return the CRC-32 of a file, which is read for that but once: by it a compiled network, which was made from
        verified weights, is found to fit them. SHA-256 takes ten times as long.

        Raises:
            SetupError: the file cannot be read.

        """
        from isal import isal_zlib

        path = self.folder / name
        with self.lock:
            if name not in self.checksums:
                try:
                    with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                        self.checksums[name] = isal_zlib.crc32(content)
                except OSError as error:
                    raise SetupError(f"{path} cannot be read ({error.strerror}); fetch the weights again") from error
                except ValueError as error:
                    raise SetupError(f"{path} is damaged: it is empty; fetch the weights again") from error
            return self.checksums[name]

    def read_ahead(self, name: str) -> None:
        """Work out `crc32` in a thread, if the file can be read, while this one is busy with other things."""

        def work_out() -> None:
            with contextlib.suppress(Exception):  # raised again where it is needed
                self.crc32(name)

        Thread(target=work_out).start()

    @property
    def present(self) -> list[str]:
        """Names of the listed files that are there."""
        return sorted(name for name in self.sums if (self.folder / name).is_file())

    def metadata(self) -> dict[str, str]:
        """Return what the weight file says of itself, read from its header alone: starting should not take its 55 MB.

        Raises:
            SetupError: the file is missing, or is no safetensors file.

        """
        path = self.folder / STORE
        try:
            return read_metadata(path)
        except OSError as error:
            raise SetupError(f"{path} cannot be read ({error.strerror}); fetch the weights again") from error
        except ValueError as error:
            raise SetupError(f"{path} is damaged: {error}; fetch the weights again") from error

    def calibration(self) -> Calibration:
        """Return what was fitted to these weights.

        Raises:
            SetupError: as `metadata`; or they hold what is out of range.

        """
        try:
            return Calibration.from_metadata(self.metadata())
        except ValueError as error:
            raise SetupError(f"{self.folder / STORE}: {error}") from error

    def confidence(self) -> "ConfidenceModel | None":
        """Return what estimates the DSC of these weights' masks; None where nothing was fitted to them.

        Raises:
            SetupError: the file is damaged.

        """
        if CONFIDENCE not in self.sums:
            return None
        from repmedsam_infer.engines.confidence import ConfidenceModel

        (path,) = self.verified(CONFIDENCE)
        try:
            return ConfidenceModel.from_arrays(read_arrays(path))
        except (OSError, ValueError) as error:
            raise SetupError(f"{path} is damaged: {error}; fetch the weights again") from error


def listing(sums: Mapping[str, str]) -> str:
    """Return what SHA256SUMS holds of the sums of files by name, in the format of sha256sum."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def read_arrays(path: Path) -> "dict[str, NDArray[np.float32]]":
    """Read the arrays of a small safetensors file, all of them float32, by name.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no safetensors file, or holds other arrays.

    """
    import numpy as np

    with open_regular(path) as file:
        header = header_of(file)
        content = file.read()
    arrays = {}
    for name, about in header.items():
        if name == METADATA:
            continue
        begin, end, shape = place_of(name, about)
        if begin + 4 * math.prod(shape) != end or end > len(content):
            raise ValueError(f"{name} is not all there")
        arrays[name] = np.frombuffer(content, np.float32, math.prod(shape), begin).reshape(shape)
    return arrays


def place_of(name: str, about: Any) -> tuple[int, int, list[int]]:
    """Return where a float32 tensor begins and ends behind the header, in bytes, and its shape.

    Raises:
        ValueError: it holds other numbers, or what is said about it makes no sense.

    """
    if not isinstance(about, dict) or about.get("dtype") != "F32":
        raise ValueError(f"{name} is no tensor of dtype F32")
    offsets, shape = (about.get(key) for key in ("data_offsets", "shape"))
    if not is_counts(offsets) or not is_counts(shape) or len(offsets) != 2:
        raise ValueError(f"{name} has no place or shape")
    return offsets[0], offsets[1], shape


def is_counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def read_tensors(path: Path) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """Read the network's tensors of a safetensors file by name, as they are stored, and its metadata.

    What belongs to the graphs of OpenVINO is left out. Needs torch.

    Raises:
        OSError, safetensors.SafetensorError: it cannot be read, or is no safetensors file.

    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name != GRAPH_CONSTANTS]  # noqa: SIM118 (no mapping)
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


def read_metadata(path: Path) -> dict[str, str]:
    """Return what a safetensors file says of itself, read from its header alone. Raises as `read_header`."""
    return {str(key): str(value) for key, value in read_header(path).get(METADATA, {}).items()}


def read_header(path: Path) -> dict[str, Any]:
    """Return the JSON at the beginning of a safetensors file: name -> dtype, shape, data_offsets; METADATA -> texts.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no safetensors file.

    """
    with open_regular(path) as file:
        return header_of(file)


def header_of(file: io.BufferedReader) -> dict[str, Any]:
    """Read the header, and leave `file` where the tensors begin. Raise ValueError as `read_header`."""
    start = file.read(HEADER_LENGTH.size)
    length = HEADER_LENGTH.unpack(start)[0] if len(start) == HEADER_LENGTH.size else LONGEST_HEADER + 1
    try:
        header = json.loads(file.read(length)) if length <= LONGEST_HEADER else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or not isinstance(header.get(METADATA, {}), dict):
        raise ValueError("it has no header of a safetensors file")
    return header


def data_start(path: Path) -> int:
    """Where the tensors of a safetensors file begin, in bytes: their `data_offsets` count from there."""
    with path.open("rb") as file:
        return HEADER_LENGTH.size + int(HEADER_LENGTH.unpack(file.read(HEADER_LENGTH.size))[0])


def find_weights(folder: Path | None = None) -> Weights:
    """Return the weights in `folder`, else in $REPMEDSAM_WEIGHTS, else those that came with the package.

    Raises:
        SetupError: there are none.

    """
    if folder is None:
        folder = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else shipped_folder()
    try:
        with open_regular(folder / SUMS) as file:
            lines = file.read(LONGEST_SUMS).decode().splitlines()
        sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines if line.strip())}
    except (OSError, ValueError) as error:
        raise SetupError(f"no weights in {folder}: its {SUMS} cannot be read; see --weights and {VARIABLE}") from error
    for name in sums:
        if name == ".." or name != Path(name).name or "\\" in name or ":" in name or not name.isprintable():
            raise SetupError(
                f"{folder / SUMS} lists {name!r}, which is no file of this folder; fetch the weights again"
            )
    return Weights(folder, sums)


def shipped_folder() -> Path:
    """Inside the package in a wheel, beside it in a clone and in the container."""
    package = Path(__file__).parents[1]
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"
