"""Strokes of a brush to voxels, against the plain distance to their line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.errors import UsageError
from repmedsam_infer.interactive.drawing import MOST_POINTS, Axis, Drawing, StrokeMark
from repmedsam_infer.interactive.strokes import ALONG, AXES, stroke_voxels

SHAPE = (9, 14, 17)
COORDINATE = st.floats(-4, 22, allow_nan=False)
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=5)


def distance(point: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """From a point to the line between two others."""
    length = float(((b - a) ** 2).sum())
    t = min(max(float((point - a) @ (b - a)) / length, 0), 1) if length else 0.0
    return float(np.linalg.norm(point - a - t * (b - a)))


def plainly(mark: StrokeMark, shape: tuple[int, ...], spacing: tuple[float, ...] | None) -> NDArray[np.bool_]:
    """The definition, pixel by pixel."""
    first, second = (1, 0) if len(shape) == 2 else ALONG[mark.axis]
    stretch = 1.0 if spacing is None else spacing[second] / spacing[first]
    covered = np.zeros(shape, bool)
    scale = np.array([1, stretch])
    line = [np.array(point) * scale for point in mark.points]
    for y in range(shape[second]):
        for x in range(shape[first]):
            middle = np.array([x + 0.5, y + 0.5]) * scale
            near = min(distance(middle, a, b) for a, b in zip(line, line[1:] or line, strict=False)) <= mark.radius
            index = [mark.index] * len(shape)
            index[first], index[second] = x, y
            covered[tuple(index)] = near
    for across, down in mark.points:
        index = [mark.index] * len(shape)
        index[first] = min(max(int(np.floor(across)), 0), shape[first] - 1)
        index[second] = min(max(int(np.floor(down)), 0), shape[second] - 1)
        covered[tuple(index)] = True
    return covered


@settings(max_examples=150, deadline=None)
@given(
    points=POINTS,
    radius=st.floats(0.05, 6),
    axis=st.sampled_from(["x", "y", "z"]),
    spacing=st.none() | st.tuples(*[st.sampled_from([0.5, 1.0, 3.0])] * 3),
)
def test_a_stroke_covers_what_lies_within_its_radius_in_mm(
    points: list[tuple[float, float]], radius: float, axis: Axis, spacing: tuple[float, ...] | None
) -> None:
    mark = StrokeMark(1, "+", axis, min(3, SHAPE[AXES[axis]] - 1), tuple(points), radius)
    where, covered = stroke_voxels(mark, SHAPE, spacing)
    found = np.zeros(SHAPE, bool)
    found[where] = covered
    np.testing.assert_array_equal(found, plainly(mark, SHAPE, spacing))


@settings(max_examples=60, deadline=None)
@given(points=POINTS, radius=st.floats(0.05, 6))
def test_a_stroke_on_a_picture(points: list[tuple[float, float]], radius: float) -> None:
    mark = StrokeMark(1, "+", "z", 0, tuple(points), radius)
    where, covered = stroke_voxels(mark, SHAPE[1:], None)
    found = np.zeros(SHAPE[1:], bool)
    found[where] = covered
    np.testing.assert_array_equal(found, plainly(mark, SHAPE[1:], None))


def test_strokes_have_so_many_points_at_the_most() -> None:
    drawing = Drawing().add_object()
    long = tuple((float(i % 7), 1.0) for i in range(MOST_POINTS))
    drawing = drawing.add_stroke(1, "+", "z", 0, long, 1.0)
    with pytest.raises(UsageError, match="500000 are the most"):
        drawing.add_stroke(1, "+", "z", 0, ((1.0, 1.0),), 1.0)
