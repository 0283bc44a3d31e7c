"""Slices of a volume are done in groups, by several workers at once, and come out as if one had done them in order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repmedsam_infer.result import FEW_LABELS, count_pixels
from repmedsam_infer.segmentation.ellipsoid import F32, MOST_EMBEDDINGS, SliceTriples, in_groups
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.test_segment import BoxEngine, make_case, volume


@given(slices=st.sets(st.integers(0, 300)).map(sorted), workers=st.integers(1, 100))
def test_groups_are_all_slices_in_order_alike_in_length_and_as_many_for_each_worker(
    slices: list[int], workers: int
) -> None:
    groups = in_groups(slices, workers)
    assert [z for group in groups for z in group] == slices
    lengths = [len(group) for group in groups]
    if lengths:
        assert min(lengths) >= max(1, max(lengths) - 1)
        assert max(lengths) * workers <= max(MOST_EMBEDDINGS, workers)
        assert len(groups) % workers == 0 or len(groups) == len(slices)


@given(slices=st.sets(st.integers(0, 20), max_size=12), data=st.data())
def test_each_slice_comes_once_with_its_neighbours_as_soon_as_all_three_are_there(
    slices: set[int], data: st.DataObject
) -> None:
    logits = {z: {0: np.full((1, 1), z, np.float32)} for z in slices}
    triples, there, come = SliceTriples(slices), set[int](), dict[int, tuple[dict[int, F32], ...]]()
    for z in data.draw(st.permutations(sorted(slices))):
        there.add(z)
        for other, *parts in triples.add(z, logits[z]):
            assert other not in come
            come[other] = tuple(parts)
        assert set(come) == {z for z in there if {z - 1, z + 1} & slices <= there}
    assert come == {z: tuple(logits.get(part, {}) for part in (z - 1, z, z + 1)) for z in slices}
    assert not triples.logits


@settings(max_examples=15, deadline=None)
@given(workers=st.integers(2, 5), depth=st.integers(1, 40), seed=st.integers(0, 99))
def test_labels_and_confidence_do_not_depend_on_how_many_work(workers: int, depth: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = rng.integers(0, 20, (4, 3)), rng.integers(20, 60, (4, 3))
    low[:, 2], high[:, 2] = np.sort(rng.integers(0, depth, (2, 4)), axis=0)
    case = make_case(volume(depth, 64), np.hstack([low, high]).astype(float).tolist(), True)
    alone, several = (
        segment(case, engine, Stopwatch()) for engine in (BoxEngine(focus=True), engine_of(workers, focus=True))
    )
    np.testing.assert_array_equal(alone.labels, several.labels)
    np.testing.assert_array_equal(alone.confidence, several.confidence)


@pytest.mark.parametrize("count", [3, FEW_LABELS, FEW_LABELS + 1, 300])
@pytest.mark.parametrize("shape", [(30, 40), (5, 30, 40)])
def test_labels_are_counted_whatever_their_number(count: int, shape: tuple[int, ...]) -> None:
    drawn = np.random.default_rng(0).integers(0, count + 1, shape)
    labels = drawn.astype(np.uint8) if count < 256 else drawn.astype(np.uint16)
    labels[0] = 0
    assert count_pixels(labels, count).tolist() == [int((labels == label).sum()) for label in range(count + 1)]


def engine_of(size: int, focus: bool) -> BoxEngine:
    workers = [BoxEngine(focus=focus) for _ in range(size)]
    workers[0].workers = workers
    return workers[0]
