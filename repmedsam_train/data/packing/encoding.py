"""A labelled case as three files: its image, its labels, and JSON of what is known of it.

Slices of a volume lie side by side in one image, a mosaic, so that a case of any depth is three files.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.io.case_files import modality_of
from repmedsam_train.data.labelled import LabelledCase, labelled

LOSSLESS = 101  # OpenCV's WebP quality above which nothing is lost
LARGEST_WEBP = 16_383  # pixels of a side
KINDS = (".image.webp", ".image.png", ".labels.png", ".json")  # how names of a case's files end


@dataclass(frozen=True)
class PackedCase:
    """What a case's JSON says.

    name: of the npz file that it was. group: what must not be split. shape: D, H and W as packed; channels: 1 or 3.
    columns: slices side by side in the mosaic. lossless: whether pixels are those of the case, after it was reduced.
    """

    name: str
    modality: str
    group: str
    shape: tuple[int, int, int]
    channels: int
    columns: int
    spacing: tuple[float, ...]
    lossless: bool


def encoded(case: LabelledCase, group: str, quality: int | None) -> dict[str, bytes]:
    """Return contents by how the file's name ends (one of KINDS); the same bytes for the same case.

    quality: of WebP, 1 to 100, which loses detail; None loses nothing. Labels never lose anything.

    Raises:
        CaseReadError: the case is too large for one image.

    """
    depth, height, width = case.gts.shape
    columns = math.isqrt(depth - 1) + 1
    pixels, labels = mosaic(case.imgs, columns), mosaic(case.gts, columns)
    if labels.max() < 256:
        labels = labels.astype(np.uint8)
    fits = max(pixels.shape[:2]) <= LARGEST_WEBP
    if not fits and quality is not None:
        raise CaseReadError(f"{case.name}: its {depth} slices are too large for one WebP; leave out the quality")
    ending = ".webp" if fits else ".png"
    options = [cv2.IMWRITE_WEBP_QUALITY, quality or LOSSLESS] if fits else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    known = {
        "name": case.name,
        "modality": modality_of(case.name),
        "group": group,
        "shape": [depth, height, width],
        "channels": case.imgs.shape[-1],
        "columns": columns,
        "spacing": list(case.spacing),
        "lossless": quality is None,
    }
    return {
        f".image{ending}": image_file(ending, pixels[..., ::-1], options),
        ".labels.png": image_file(".png", labels, [cv2.IMWRITE_PNG_COMPRESSION, 9]),
        ".json": json.dumps(known, sort_keys=True).encode(),
    }


def image_file(ending: str, pixels: NDArray[Any], options: list[int]) -> bytes:
    return cv2.imencode(ending, np.ascontiguousarray(pixels), options)[1].tobytes()


def mosaic(slices: NDArray[Any], columns: int) -> NDArray[Any]:
    """(D, H, W, ...) -> (rows * H, columns * W, ...), row by row, 0 where there is no slice."""
    depth, height, width = slices.shape[:3]
    rows = -(-depth // columns)
    padded = np.zeros((rows * columns, *slices.shape[1:]), slices.dtype)
    padded[:depth] = slices
    tiles = padded.reshape(rows, columns, *slices.shape[1:]).swapaxes(1, 2)
    return tiles.reshape(rows * height, columns * width, *slices.shape[3:])


def from_mosaic(image: NDArray[Any], shape: tuple[int, int, int], columns: int) -> NDArray[Any]:
    """Undo `mosaic`: -> (D, H, W, ...)."""
    depth, height, width = shape
    rest = image.shape[2:]
    tiles = image.reshape(image.shape[0] // height, height, columns, width, *rest).swapaxes(1, 2)
    return np.ascontiguousarray(tiles.reshape(-1, height, width, *rest)[:depth])


def known_of(content: bytes, where: str) -> PackedCase:
    """Read a case's JSON; `where` it is from, for messages.

    Raises:
        CaseReadError: it is not what `encoded` writes.

    """
    try:
        known = json.loads(content)
        depth, height, width = (int(x) for x in known["shape"])
        columns, channels = int(known["columns"]), int(known["channels"])
        whole = min(depth, height, width, columns) > 0 and channels in {1, 3}
        name = str(known["name"])
        whole = whole and name.endswith(".npz") and Path(name).name == name  # it becomes part of a path
        spacing = tuple(float(x) for x in known["spacing"])
        case = PackedCase(
            name, str(known["modality"]), str(known["group"]), (depth, height, width), channels, columns,
            spacing, bool(known["lossless"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CaseReadError(f"{where}: its JSON is not that of a packed case; pack it again") from error
    if not whole:
        raise CaseReadError(f"{where}: its JSON is not that of a packed case; pack it again")
    return case


def decoded(known: PackedCase, image: bytes, labels: bytes, where: str) -> LabelledCase:
    """Undo `encoded`.

    Raises:
        CaseReadError: the images cannot be decoded, are not of the shape that the JSON says, or are no `labelled` case.

    """
    pixels, gts = (decoded_image(content, where) for content in (image, labels))
    depth, height, width = known.shape
    expected = (-(-depth // known.columns) * height, known.columns * width)
    if pixels.shape[:2] != expected or gts.shape != expected:
        raise CaseReadError(f"{where}: its images are not of the shape {known.shape} that its JSON says; pack it again")
    if pixels.ndim == 3:
        pixels = pixels[..., 2] if known.channels == 1 else pixels[..., 2::-1]
    imgs = from_mosaic(np.ascontiguousarray(pixels), known.shape, known.columns)
    return labelled(known.name, imgs, from_mosaic(gts, known.shape, known.columns), known.spacing)


def decoded_image(content: bytes, where: str) -> NDArray[Any]:
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise CaseReadError(f"{where}: its image cannot be decoded") from error
    if image is None:
        raise CaseReadError(f"{where}: its image cannot be decoded; pack it again")
    return image
