"""Scans for tests: affines of every orientation, volumes of which every voxel is its own."""

import itertools
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.formats import read_scan
from repmedsam_infer.formats.label_grid import whole_labels
from repmedsam_infer.formats.scan import Scan

F64 = NDArray[np.float64]

SIGNED_PERMUTATIONS = [
    np.eye(3)[list(order)] * np.array(signs)[:, None]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@st.composite
def affines(draw: st.DrawFn, most_tilt: float = 0.6) -> F64:
    """(4, 4): any of the 48 orientations, tilted, of uneven spacing, anywhere."""
    axes = draw(st.sampled_from(SIGNED_PERMUTATIONS))
    angles = [draw(st.floats(-most_tilt, most_tilt)) for _ in range(3)] if most_tilt else [0.0] * 3
    spacing = [draw(st.floats(0.2, 8)) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) @ axes * spacing
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return affine


def rotation(angles: list[float]) -> F64:
    """(3, 3), about x, then y, then z; radians."""
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        one = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turned = one @ turned
    return turned


def random_labels(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 7, shape, np.uint8)


def place_of(scan: Scan) -> F64:
    """The affine of a scan that has one."""
    assert scan.affine is not None
    return scan.affine


def labels_in(path: Path) -> NDArray[np.uint16]:
    """The labels that are read from a label map's file."""
    return whole_labels(read_scan(path))
