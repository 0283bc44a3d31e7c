"""Engines are loaded once and used by one thread at a time; slices come out in order, and an error is nobody else's."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.pool import AHEAD, EnginePool, run_in_workers
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import CaseTooLargeError, SetupError
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system import memory
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.test_segment import BoxEngine, make_case, volume


def engine_of(size: int) -> BoxEngine:
    workers = [BoxEngine() for _ in range(size)]
    workers[0].workers = workers
    return workers[0]


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
    for result in run_in_workers(square, range(count), engine_of(size), watch):
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

    results = run_in_workers(fail, range(9), engine_of(size), Stopwatch())
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="of item 2"):
        next(results)


@pytest.mark.slow
def test_a_volume_done_by_several_is_the_volume_done_by_one(weights: Weights) -> None:
    case = make_case(volume(9, 128), [[20, 20, 0, 90, 90, 8], [40, 40, 2, 60, 60, 5]], True)
    one, two = (load_engine("openvino", weights, threads, "fp32", volumes=True) for threads in (1, 2))
    assert [len(engine.workers) for engine in (one, two)] == [1, 2]
    np.testing.assert_array_equal(segment(case, one, Stopwatch()).labels, segment(case, two, Stopwatch()).labels)


def test_each_kind_is_loaded_once_when_it_is_first_needed() -> None:
    loads: list[bool] = []

    def load(volumes: bool) -> list[BoxEngine]:
        loads.append(volumes)
        return [BoxEngine()]

    pool = EnginePool(load)
    assert loads == []
    with pool.engine(volumes=True) as one:
        pass
    with pool.engine(volumes=True) as again:
        assert again is one
    assert loads == [True]
    assert list(pool.loaded) == [True]


def test_an_engine_is_lent_to_one_thread_at_a_time_and_comes_back_after_an_error() -> None:
    pool = EnginePool.holding({False: [BoxEngine(), BoxEngine()]})
    in_use: set[int] = set()
    lock = threading.Lock()

    def use(number: int) -> None:
        with pool.engine(volumes=False) as engine:
            with lock:
                assert id(engine) not in in_use
                in_use.add(id(engine))
            time.sleep(0.0005)
            with lock:
                in_use.remove(id(engine))
            if number % 3 == 0:
                raise ValueError("of this user")

    with ThreadPoolExecutor(8) as threads:
        done = [threads.submit(use, number) for number in range(40)]
    assert sum(one.exception() is not None for one in done) == 14
    assert pool.lenders[False].free.qsize() == 2


def test_what_is_begun_is_loaded_in_another_thread_while_this_one_goes_on() -> None:
    going_on = threading.Event()

    def load(volumes: bool) -> list[BoxEngine]:
        assert threading.current_thread() is not threading.main_thread()
        assert going_on.wait(10)
        return [BoxEngine()]

    pool = EnginePool(load)
    pool.begin([True, False])
    assert pool.loaded == {}
    going_on.set()
    assert len(pool.engines(volumes=False)) == len(pool.engines(volumes=True)) == 1
    assert pool.load_seconds > 0


def test_what_goes_wrong_in_loading_is_raised_where_the_engines_are_needed() -> None:
    def load(volumes: bool) -> list[BoxEngine]:
        raise SetupError("no weights")

    pool = EnginePool(load)
    pool.begin([False])
    with pytest.raises(SetupError, match="no weights"):
        pool.engines(volumes=False)


def test_memory_that_loading_will_take_is_not_granted_to_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 500 << 20)
    loading, refused = threading.Event(), threading.Event()

    def load(volumes: bool) -> list[BoxEngine]:
        loading.set()
        assert refused.wait(10)
        return [BoxEngine()]

    pool = EnginePool(load)
    pool.begin([False])
    assert loading.wait(10)
    with pytest.raises(CaseTooLargeError), memory.one_case():
        memory.check_fits("a case", 200 << 20)
    refused.set()
    pool.engines(volumes=False)
    with memory.one_case():
        memory.check_fits("a case", 200 << 20)
