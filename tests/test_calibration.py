"""What is fitted to weights travels in their metadata, and a weight file without it changes nothing."""

import json
import struct
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.pool import EnginePool
from repmedsam_infer.engines.weights import STORE, Weights
from repmedsam_infer.errors import SetupError
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.segmenter import Segmenter
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.test_segment import BoxEngine, make_case, volume

offsets = st.floats(-20, 20).map(lambda value: round(value, 3))


@given(offsets, offsets, st.sampled_from([0, 0.125, 0.5]), st.sampled_from([0, 0.2, 1]))
def test_it_comes_back_from_metadata_as_it_went_in(
    picture_offset: float, volume_offset: float, slice_smoothing: float, smallest_part: float
) -> None:
    calibration = Calibration(picture_offset, volume_offset, slice_smoothing, smallest_part)
    assert Calibration.from_metadata(calibration.metadata() | {"grid": "16"}) == calibration


def test_metadata_without_it_are_neutral() -> None:
    assert Calibration.from_metadata({"grid": "16", "focus": "true"}) == Calibration()
    assert all(getattr(Calibration(), field.name) == 0 for field in fields(Calibration))


@pytest.mark.parametrize(
    "metadata",
    [{"picture_offset": "nan"}, {"volume_offset": "1e9"}, {"slice_smoothing": "0.6"}, {"smallest_part": "-0.1"},
     {"picture_offset": "a little"}],
)  # fmt: skip
def test_what_is_out_of_range_is_refused_with_the_name_of_the_file(metadata: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"between|convert"):
        Calibration.from_metadata(metadata)
    write_store(tmp_path, json.dumps({"__metadata__": metadata}).encode())
    with pytest.raises(SetupError, match=STORE):
        Weights(tmp_path, {}).calibration()


@pytest.mark.parametrize("header", [b"", b"[]", b"{", b'{"__metadata__": 3}', b"\xff\xfe"])
def test_a_damaged_weight_file_is_a_setup_error(header: bytes, tmp_path: Path) -> None:
    write_store(tmp_path, header)
    with pytest.raises(SetupError, match="damaged"):
        Weights(tmp_path, {}).metadata()


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 8])
def test_a_file_that_is_cut_off_is_a_setup_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / STORE).write_bytes(content)
    with pytest.raises(SetupError, match="damaged"):
        Weights(tmp_path, {}).metadata()


def test_a_missing_weight_file_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        Weights(tmp_path, {}).metadata()


@pytest.mark.parametrize(("offset", "side"), [(0.0, 40), (2.0, 44), (-2.0, 36)])
def test_a_pictures_offset_moves_its_borders_and_no_volumes(offset: float, side: int) -> None:
    engine = BoxEngine(shrink=5)
    engine.calibration = Calibration(picture_offset=offset)
    box = [20.0, 20.0, 69.0, 69.0]
    segs = segment(make_case(volume(1)[0], [box], False), engine, Stopwatch()).labels
    assert (segs > 0).any(axis=0).sum() == side
    flat = [*box[:2], 0.0, *box[2:], 0.0]
    assert (segment(make_case(volume(1), [flat], True), engine, Stopwatch()).labels > 0).any(axis=(0, 1)).sum() == 40
    engine.calibration = Calibration(volume_offset=offset)
    assert (segment(make_case(volume(1), [flat], True), engine, Stopwatch()).labels > 0).any(axis=(0, 1)).sum() == side


def test_box_after_box_on_one_picture_gives_the_same_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = BoxEngine(shrink=5)
    engine.calibration = Calibration(picture_offset=3)
    segmenter = Segmenter()
    monkeypatch.setattr(segmenter, "pool", EnginePool.holding({False: [engine]}))
    image, box = volume(1)[0], [20.0, 20.0, 69.0, 69.0]
    segmenter.set_image(image)
    np.testing.assert_array_equal(segmenter.masks([box])[0], segmenter.segment(image, [box]).labels > 0)


def test_smoothing_lets_slices_change_each_other_only_where_it_was_fitted() -> None:
    engine = BoxEngine()
    case = make_case(volume(5), [[20.0, 20.0, 0.0, 99.0, 99.0, 4.0]], True)
    ends = {}
    for smoothing in (0.0, 0.25):
        engine.calibration = replace(Calibration(), slice_smoothing=smoothing)
        ends[smoothing] = (segment(case, engine, Stopwatch()).labels[0] > 0).sum()
    assert ends[0.0] < ends[0.25]  # the first slice's section is the smallest


def write_store(folder: Path, header: bytes) -> None:
    (folder / STORE).write_bytes(struct.pack("<Q", len(header)) + header)
