"""The same cases with boxes as people draw them: too large or too small on every side, too long in z."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.case_files import find_cases, is_volume_name
from repmedsam_infer.io.npz import open_npz, write_npz


def loosen_cases(folder: Path, out: Path, sides: float, slices: int) -> int:
    """Write every case of `folder` to `out` with `loosened` boxes; returns how many there are.

    Raises:
        UsageError: there are no cases, or both folders are the same.
        CaseReadError: a case cannot be read.
        OSError: a case cannot be written.

    """
    if folder.resolve() == out.resolve():
        raise UsageError("the cases would be replaced: name another folder")
    paths = find_cases(folder)
    out.mkdir(parents=True, exist_ok=True)
    for path in paths:
        with open_npz(path) as npz:
            arrays = {name: npz.read(name) for name in npz.keys}
        axes = 3 if is_volume_name(path.name) else 2
        arrays["boxes"] = loosened(arrays["boxes"], arrays["imgs"].shape[:axes], sides, slices)
        write_npz(out / path.name, **arrays)
    return len(paths)


def loosened(boxes: NDArray[np.integer], shape: tuple[int, ...], sides: float, slices: int) -> NDArray[np.int64]:
    """Boxes with `sides` times their width and height more on every side in x and y, rounded, and in a volume `slices`
    more at each end in z; within the image, and never empty. Both may be negative.

    boxes: (N, 4) or (N, 6), ends inclusive. shape: of the image, (H, W) or (D, H, W).
    """
    axes = len(shape)
    low, high = boxes[:, :axes].astype(np.float64), boxes[:, axes:].astype(np.float64)
    more = np.rint((high - low + 1) * sides)
    if axes == 3:
        more[:, 2] = slices
    return moved_outwards(np.concatenate([low, high], 1), np.concatenate([more, more], 1), shape).astype(np.int64)


def moved_outwards(
    boxes: NDArray[np.float64], more: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Move every side of (N, 4) or (N, 6) boxes outwards by `more`, of the same shape; not beyond the image's ends.

    Where it is negative sides move inwards, to the middle of the box at most.
    """
    low, high = np.split(boxes, 2, axis=1)
    more_low, more_high = np.split(more, 2, axis=1)
    middle, largest = np.floor((low + high) / 2), np.array(shape[::-1]) - 1
    low = np.clip(np.minimum(low - more_low, middle), 0, largest)
    high = np.clip(np.maximum(high + more_high, middle), 0, largest)
    return np.concatenate([low, high], 1)
