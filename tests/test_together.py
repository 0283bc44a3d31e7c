"""Slices done at the same time come out in order, each once, and an error is nobody else's."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.engines import Engine, load_engine
from repmedsam_infer.segment import segment
from repmedsam_infer.stopwatch import Stopwatch
from repmedsam_infer.together import AHEAD, all_together
from repmedsam_infer.weights import Weights
from tests.test_segment import BoxEngine, make_case, volume


def crew_of(size: int) -> BoxEngine:
    crew = [BoxEngine() for _ in range(size)]
    crew[0].together = crew
    return crew[0]


@given(count=st.integers(0, 20), size=st.integers(1, 4))
def test_results_come_in_order_and_no_engine_does_two_things_at_once(count: int, size: int) -> None:
    busy: set[int] = set()
    begun = 0
    lock = threading.Lock()

    def square(item: int, engine: Engine, watch: Stopwatch) -> int:
        nonlocal begun
        with lock:
            assert id(engine) not in busy
            busy.add(id(engine))
            begun += 1
        with watch("square"):
            time.sleep(0.0001 * (item % 3))
        with lock:
            busy.remove(id(engine))
        return item * item

    watch = Stopwatch()
    taken = 0
    for result in all_together(square, range(count), crew_of(size), watch):
        assert result == taken * taken
        taken += 1
        assert begun <= taken + AHEAD * size
    assert taken == count == watch.calls.get("square", 0)


@pytest.mark.parametrize("size", [1, 3])
def test_an_error_is_raised_where_its_result_would_be(size: int) -> None:
    def fail(item: int, engine: Engine, watch: Stopwatch) -> int:
        if item == 2:
            raise ValueError("of item 2")
        return item

    results = all_together(fail, range(9), crew_of(size), Stopwatch())
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="of item 2"):
        next(results)


def test_a_volume_done_by_several_is_the_volume_done_by_one(weights: Weights) -> None:
    case = make_case(volume(9, 128), [[20, 20, 0, 90, 90, 8], [40, 40, 2, 60, 60, 5]], True)
    one, two = (load_engine("openvino", weights, threads, "fp32", volumes=True) for threads in (1, 2))
    assert [len(engine.together) for engine in (one, two)] == [1, 2]
    np.testing.assert_array_equal(segment(case, one, Stopwatch()), segment(case, two, Stopwatch()))
