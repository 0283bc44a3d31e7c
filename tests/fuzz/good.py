"""Good inputs, small: what damaged ones are made of, and what has to be done beside them."""

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.conftest import good_box, good_image

BOX_2D = good_box()[0].tolist()
BOX_3D = [18, 8, 0, 42, 32, 2]


def volume() -> NDArray[np.uint8]:
    """(3, 40, 60) uint8."""
    return np.repeat(good_image()[None, ..., 0], 3, 0)


def ct() -> NDArray[np.int16]:
    """(3, 40, 60) int16, as of a CT."""
    return volume().astype(np.int16) * 5 - 1000


def npz(*, is_volume: bool = False, gts: bool = False) -> bytes:
    """Return a case as numpy writes it."""
    arrays: dict[str, NDArray[np.generic]] = {"imgs": volume() if is_volume else good_image()}
    arrays["boxes"] = np.array([BOX_3D if is_volume else BOX_2D])
    if is_volume:
        arrays["spacing"] = np.array([3.0, 1.0, 1.0])
    if gts:
        arrays["gts"] = (arrays["imgs"] if is_volume else good_image()[..., 0]) > 100  # type: ignore[operator]
        arrays["gts"] = arrays["gts"].astype(np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def picture(ending: str) -> bytes:
    """Return a picture as OpenCV writes it."""
    done, encoded = cv2.imencode(ending, good_image())
    assert done
    return encoded.tobytes()


def nifti(path: Path, voxels: NDArray[np.generic] | None = None) -> bytes:
    """Write a CT to `path`, which says how; return the bytes."""
    import nibabel

    data = (ct() if voxels is None else voxels).T
    nibabel.Nifti1Image(data, np.diag([1.0, 1.0, 3.0, 1.0])).to_filename(path)
    return path.read_bytes()


def by_simpleitk(path: Path, voxels: NDArray[np.generic] | None = None, *, is_packed: bool = False) -> bytes:
    """Write a CT to `path`, which says how; return the bytes."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(ct() if voxels is None else voxels)
    image.SetSpacing([1.0, 1.0, 3.0])
    SimpleITK.WriteImage(image, str(path), useCompression=is_packed)
    return path.read_bytes()
