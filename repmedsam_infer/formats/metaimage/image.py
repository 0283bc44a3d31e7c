"""MetaImage: image in, label map out in the very same place."""

from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.endings import name_of
from repmedsam_infer.formats.metaimage.header import read_header
from repmedsam_infer.formats.opening import check_file
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.voxels.beside import open_voxels
from repmedsam_infer.formats.voxels.layout import part_to_read
from repmedsam_infer.formats.voxels.numbers import read_numbers
from repmedsam_infer.formats.voxels.place import place_of, scan_at
from repmedsam_infer.io.atomic import write_result

LEVEL = 1  # of compression: label maps are long runs of equal bytes
WRITTEN = {"uint8": "MET_UCHAR", "uint16": "MET_USHORT"}


def read_metaimage(path: Path, volume: int | None = None) -> Scan:
    """Read a volume, or a picture where the file has two axes.

    volume: which one, from 0, of a file of four axes, or of one that has several values a voxel.

    Raises:
        CaseReadError: it is damaged, too large, has several volumes, or its voxels are neither grey nor RGB.

    """
    check_file(path)
    try:
        header = read_header(path)
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error
    part = part_to_read(path.name, header.layout, volume)
    with open_voxels(path, header.data_file, header.start) as stream:
        numbers = read_numbers(path.name, stream, header.encoding, part.first, part.count)
    return scan_at(name_of(path), path.name, part.voxels(numbers), header.place)


def write_metaimage(path: Path, labels: NDArray[Any], scan: Scan) -> None:
    """Write (H, W) or (D, H, W) labels, uint8 or uint16, compressed, in the place of the image.

    Raises:
        CaseWriteError: it could not be written.

    """
    place = place_of(scan)
    axes = len(place.origin)
    content = isal_zlib.compress(np.ascontiguousarray(labels, labels.dtype.newbyteorder("<")).data, LEVEL)
    fields = {
        "ObjectType": "Image",
        "NDims": axes,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": True,
        "CompressedDataSize": len(content),
        "TransformMatrix": words(np.reshape(place.direction, (axes, axes)).T.ravel().tolist()),
        "Offset": words(place.origin),
        "CenterOfRotation": words([0.0] * axes),
        "ElementSpacing": words(place.spacing),
        "DimSize": words(labels.shape[::-1]),
        "ElementType": WRITTEN[labels.dtype.name],
        "ElementDataFile": "LOCAL",  # what comes after this line are voxels
    }
    head = "".join(f"{name} = {value}\n" for name, value in fields.items())
    write_result(path, head.encode("ascii") + content, "the label map")


def words(numbers: Any) -> str:
    """Return numbers with every digit that they have."""
    return " ".join(f"{number!r}" for number in numbers)
