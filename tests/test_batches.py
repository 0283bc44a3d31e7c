"""How the default engine splits boxes into batches: no box is lost, none is decoded otherwise, few sizes are new."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines import openvino
from repmedsam_infer.engines.openvino import MAX_BATCH, BatchSizes, OpenVINOEngine

ROUNDING = 1e-3  # of logits: masks are where they are above 0
IMAGE = np.random.default_rng(0).random((3, 256, 256), dtype=np.float32)
BOXES = np.array([[5 + 3 * i, 10 + 2 * i, 60 + 4 * i, 80 + 5 * i] for i in range(21)], np.float32)


@given(st.lists(st.integers(0, 300), max_size=12))
def test_batches_hold_all_boxes_and_only_the_last_has_room(counts: list[int]) -> None:
    sizes = BatchSizes()
    for count in counts:
        batches = sizes.of_batches(count)
        assert all(1 <= size <= MAX_BATCH for size in batches)
        assert 0 <= sum(batches) - count < (batches[-1] if batches else 1)
        assert {*batches} <= sizes.known


def test_a_few_boxes_are_decoded_one_by_one_at_first_and_together_in_a_long_run() -> None:
    sizes = BatchSizes()
    splits = [sizes.of_batches(4) for _ in range(20)]
    assert splits[0] == [1, 1, 1, 1]
    assert splits[-1] == [4]


def test_many_boxes_are_decoded_in_large_batches_at_once() -> None:
    assert BatchSizes().of_batches(240) == [MAX_BATCH] * 15


def test_what_is_left_over_is_decoded_in_a_size_that_came_before() -> None:
    sizes = BatchSizes()
    assert sizes.of_batches(247) == [MAX_BATCH] * 16
    assert sizes.of_batches(28) == [MAX_BATCH] * 2
    assert sizes.known == {1, MAX_BATCH}


def test_the_result_does_not_depend_on_the_batches_but_for_rounding(openvino_engine: OpenVINOEngine) -> None:
    embedding, rois = openvino_engine.encode(IMAGE), rois_around(BOXES)
    whole = openvino_engine.decode(embedding, BOXES, rois)
    for count in (1, 2, 7, 13, MAX_BATCH):
        some = openvino_engine.decode(embedding, BOXES[:count], rois[:count])
        for ours, of_all in zip(some, whole, strict=True):
            np.testing.assert_allclose(ours, of_all[:count], rtol=1e-4, atol=ROUNDING)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_an_engine_that_was_interrupted_can_be_used_again(
    error: type[BaseException], openvino_engine: OpenVINOEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise error

    embedding, rois = openvino_engine.encode(IMAGE), rois_around(BOXES)
    before = openvino_engine.decode(embedding, BOXES, rois)
    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(openvino, "finish", interrupted)
        openvino_engine.decode(embedding, BOXES, rois)
    after = openvino_engine.decode(embedding, BOXES, rois)
    np.testing.assert_allclose(after.low_res_logits, before.low_res_logits, rtol=1e-4, atol=ROUNDING)
