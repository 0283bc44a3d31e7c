"""PNG, JPEG, TIFF and BMP, by OpenCV: a picture, or a stack of pages that are slices; label maps as PNG."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.endings import name_of
from repmedsam_infer.formats.intensity import pieces
from repmedsam_infer.formats.opening import BESIDES, check_file
from repmedsam_infer.formats.pictures.header import UPRIGHT, PictureHeader, read_header
from repmedsam_infer.formats.pictures.palette import label_png, palette_source
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.silence import silenced
from repmedsam_infer.io.atomic import write_result
from repmedsam_infer.io.npz import MAX_ARRAY_BYTES
from repmedsam_infer.system.memory import check_fits

ALPHA = 3  # its place in RGBA
COPIES = 2  # of the decoded picture that there are at a time: the codec's, and ours
LEVEL = 3  # of compression


def read_picture(path: Path) -> Scan:
    """Read a picture as viewers show it: turned as its EXIF orientation says, its palette's colours, no transparency.

    A TIFF of several pages is a volume where all are of one size and type and nothing says that they are other than
    slices.

    Raises:
        CaseReadError: it is damaged, too large, or not clear what it is.

    """
    size = check_file(path)
    if size > MAX_ARRAY_BYTES:
        raise CaseReadError(f"{path.name}: is {size / 2**30:.1f} GiB; the limit is {MAX_ARRAY_BYTES / 2**30:.0f} GiB")
    content = path.read_bytes()
    header = read_header(path.name, content)
    check_pages(path.name, header)
    warnings: list[str] = []
    pages = [upright(rgb_or_grey(page, warnings), header) for page in decode(path.name, content, header)]
    if header.orientation != UPRIGHT:
        warnings.append(
            "was turned upright as its EXIF orientation says: boxes and labels are those of the picture as it is shown"
        )
    is_volume = len(pages) > 1
    if is_volume:
        if len({(page.shape, page.dtype.str) for page in pages}) > 1:
            raise CaseReadError(f"{path.name}: its pages are of different types; save the one you mean as a file")
        warnings.append(f"its {len(pages)} pages were taken for slices, in the file's order; sizes in mm are unknown")
    return Scan(
        name=name_of(path),
        voxels=np.stack(pages) if is_volume else pages[0],
        is_volume=is_volume,
        source=palette_source(path.name, content, is_turned=header.orientation != UPRIGHT),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def check_pages(name: str, header: PictureHeader) -> None:
    """Check that it is one picture or one volume, and not too large."""
    height, width = header.sizes[0]
    if height < 1 or width < 1:
        raise CaseReadError(f"{name}: its header declares {width} x {height} pixels: it is damaged")
    count = len(header.sizes)
    if count > 1 and len(set(header.sizes)) > 1:
        other = next(size for size in header.sizes if size != header.sizes[0])
        raise CaseReadError(
            f"{name}: {count} pages of different sizes ({width} x {height}, {other[1]} x {other[0]}) are no volume; "
            "save the one you mean as a file"
        )
    if count > 1 and header.channels:
        raise CaseReadError(
            f"{name}: its {count} pages are of {header.channels}, not only slices; save one picture or volume as a file"
        )
    pixels = sum(math.prod(page) for page in header.sizes)
    size = pixels * header.bytes_a_pixel
    if size > MAX_ARRAY_BYTES:
        raise CaseReadError(
            f"{name}: declares {count} x {width} x {height} pixels, {size / 2**30:,.1f} GiB; "
            f"the limit is {MAX_ARRAY_BYTES / 2**30:.0f} GiB"
        )
    check_fits(name, COPIES * size + BESIDES * pixels)


def decode(name: str, content: bytes, header: PictureHeader) -> list[NDArray[Any]]:
    """All pages as OpenCV has them: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, JPEG and PNG not turned."""
    encoded = np.frombuffer(content, np.uint8)
    # Unchanged, palettes of these become the brightness of their colours.
    how = cv2.IMREAD_COLOR if header.has_palette else cv2.IMREAD_UNCHANGED
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)  # what it has to say is not for users
    try:
        with silenced():
            if len(header.sizes) == 1:
                page = cv2.imdecode(encoded, how)
                pages = [] if page is None else [page]
            else:
                pages = list(cv2.imdecodemulti(encoded, how)[1])
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        pages = []
    finally:
        cv2.utils.logging.setLogLevel(level)
    if len(pages) != len(header.sizes) or any(
        page.shape[:2] not in (size, size[::-1]) for page, size in zip(pages, header.sizes, strict=True)
    ):
        raise CaseReadError(f"{name}: its pixels cannot be decoded: it is damaged, cut off, or of a rare kind")
    return pages


def rgb_or_grey(page: NDArray[Any], warnings: list[str]) -> NDArray[Any]:
    """(H, W) or (H, W, 3) RGB of a page of OpenCV's, which is changed; piece by piece, to save memory."""
    if page.ndim == 2:
        return page
    parts = list(pieces(page.shape[:2]))
    if page.shape[-1] > ALPHA:
        opaque = np.iinfo(page.dtype).max if page.dtype.kind in "iu" else 1
        if any((page[part][..., ALPHA] < opaque).any() for part in parts):
            warnings.append("has transparent parts, which were taken as they are stored, without a background")
    if all((page[part][..., 1:ALPHA] == page[part][..., :1]).all() for part in parts):
        return np.ascontiguousarray(page[..., 0])
    rgb = page if page.shape[-1] == ALPHA else np.empty((*page.shape[:2], ALPHA), page.dtype)
    for part in parts:
        rgb[part] = page[part][..., ALPHA - 1 :: -1].copy()
    return rgb


def upright(page: NDArray[Any], header: PictureHeader) -> NDArray[Any]:
    """Turn a page as its EXIF orientation says. OpenCV does that itself for TIFF."""
    if header.orientation == UPRIGHT or header.kind == "TIFF":
        return page
    # Odd steps of EXIF's: 2 4 5 7 are mirrored, 5 to 8 have rows and columns swapped.
    if header.orientation in (5, 6, 7, 8):
        page = page.swapaxes(0, 1)
    if header.orientation in (3, 4, 7, 8):
        page = page[::-1]
    if header.orientation in (2, 3, 6, 7):
        page = page[:, ::-1]
    return np.ascontiguousarray(page)


def write_picture(path: Path, labels: NDArray[Any]) -> None:
    """Write (H, W) or (1, H, W) uint8 or uint16 labels as PNG: with the labels' colours as its palette, or of 16 bits
    of grey, one level a label.

    Raises:
        CaseWriteError: it could not be written.

    """
    plane = labels.reshape(labels.shape[-2:])
    if plane.dtype == np.uint8:
        png = label_png(plane)
    else:
        png = cv2.imencode(".png", plane, [cv2.IMWRITE_PNG_COMPRESSION, LEVEL])[1].tobytes()
    write_result(path, png, "the label map")
