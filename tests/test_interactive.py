"""A session on one image: its masks are those of `segment`, whatever way a person took to the boxes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repmedsam_infer.boxes import Boxes
from repmedsam_infer.case import Case, make_case, read_case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import UsageError
from repmedsam_infer.interactive.drawing import Axis, BoxMark, Drawing
from repmedsam_infer.interactive.session import Session, StaleError
from repmedsam_infer.interactive.shared_engine import Network, Turns
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.segmentation.segmented import Segmented
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.test_segment import BoxEngine

DONE = 60.0  # seconds that a test waits for masks, at most


@pytest.fixture(scope="module")
def volume_engine(weights: Weights) -> Engine:
    return load_engine("openvino", weights, 2, "fp32", volumes=True)


@pytest.fixture(scope="module")
def picture() -> Case:
    """Noise with brighter discs, large enough for close views."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 90, (420, 640, 3), np.uint8)
    y, x = np.mgrid[:420, :640]
    for cx, cy, radius in ((80, 90, 22), (300, 200, 90), (520, 330, 14), (560, 60, 40)):
        image[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] += 120
    return make_case("picture", image, np.zeros((0, 4)), is_volume=False)


@pytest.fixture(scope="module")
def volume() -> Case:
    """Two ellipsoids in noise, 9 slices."""
    rng = np.random.default_rng(2)
    imgs = rng.integers(0, 60, (9, 96, 128), np.uint8)
    z, y, x = np.mgrid[:9, :96, :128]
    for cx, cy, cz, rx, ry, rz in ((40, 40, 4, 18, 14, 3.5), (90, 60, 5, 24, 20, 3)):
        imgs[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 < 1] += 130
    return make_case("volume", imgs, np.zeros((0, 6)), is_volume=True, raw_spacing=np.array([3.0, 1, 1]))


@contextmanager
def session_on(case: Case, engine: Engine, drawing: Drawing | None = None) -> Iterator[Session]:
    session = Session(case, Network.of(engine), drawing=drawing)
    try:
        yield session
    finally:
        session.close()


def segmented(case: Case, engine: Engine, drawing: Drawing) -> Segmented:
    """What `segment` gives for a drawing of single boxes."""
    marks = [one.single_box for one in drawing.objects]
    boxes = np.array([mark.box for mark in marks if mark is not None], np.float64).reshape(-1, 2 * len(case.shape))
    labels = np.arange(1, len(boxes) + 1)
    followed = frozenset(label for label, mark in enumerate(marks, 1) if mark is not None and mark.follow)
    whole = Case(case.name, case.imgs, Boxes(boxes, labels, len(boxes), followed), case.spacing, (), case.is_volume)
    return segment(whole, engine, Stopwatch())


def assert_as_segmented(session: Session, engine: Engine) -> None:
    assert session.wait(DONE)
    with ExitStack() as all_turns:  # the engine itself, while the session does not use it
        for _ in engine.workers:
            all_turns.enter_context(session.network.turns.lend(urgent=True))
        expected = segmented(session.case, engine, session.drawing)
    np.testing.assert_array_equal(session.labels, expected.labels)
    for one, dsc in zip(session.drawing.objects, expected.confidence.tolist(), strict=True):
        assert session.confidence(one) == pytest.approx(dsc, abs=1e-6)


def add(session: Session, *box: int) -> int:
    """Add an object of one box; returns its id."""
    session.edit(lambda drawing: drawing.add_object().add_box(drawing.next_id, "+", box))
    return session.drawing.objects[-1].id


def box_mark(session: Session, object_id: int) -> BoxMark:
    mark = session.drawing.find(object_id).marks[0]
    assert isinstance(mark, BoxMark)
    return mark


@st.composite
def boxes_in(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[int, ...]:
    """At least 9 pixels wide and high; on any slices."""
    low, high = [], []
    for side, least in zip(shape[::-1], (8, 8, 0), strict=False):
        first, last = sorted(draw(st.tuples(*[st.integers(0, side - 1 - least)] * 2)))
        low.append(first)
        high.append(last + least)
    return (*low, *high)


EDITS = st.lists(st.sampled_from(["add", "move", "follow", "remove", "undo", "redo", "undo"]), min_size=1, max_size=12)
UNTIMED = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def do_edits(
    session: Session, edits: list[str], draw: Callable[[st.SearchStrategy[tuple[int, ...]]], tuple[int, ...]]
) -> None:
    shape = session.case.shape
    for edit in edits:
        objects = session.drawing.objects
        if edit == "add":
            add(session, *draw(boxes_in(shape)))
        elif edit == "undo":
            session.undo()
        elif edit == "redo":
            session.redo()
        elif not objects:
            continue
        elif edit == "remove":
            session.edit(lambda drawing: drawing.remove_object(drawing.objects[0].id))
        elif edit == "move":
            one = objects[-1]
            session.edit(partial(Drawing.set_box, object_id=one.id, mark_id=one.marks[0].id, box=draw(boxes_in(shape))))
        elif edit == "follow":
            one, mark = objects[-1], box_mark(session, objects[-1].id)
            if len(mark.box) == 6 and mark.box[2] == mark.box[5]:
                session.edit(partial(Drawing.set_follow, object_id=one.id, mark_id=mark.id, follow=not mark.follow))


@UNTIMED
@given(edits=EDITS, data=st.data())
def test_masks_on_a_picture_are_those_of_segment_whatever_was_edited(
    picture: Case, openvino_engine: Engine, edits: list[str], data: st.DataObject
) -> None:
    with session_on(picture, openvino_engine) as session:
        do_edits(session, edits, data.draw)
        assert_as_segmented(session, openvino_engine)


@UNTIMED
@given(edits=EDITS, data=st.data())
def test_masks_in_a_volume_are_those_of_segment_whatever_was_edited(
    volume: Case, volume_engine: Engine, edits: list[str], data: st.DataObject
) -> None:
    with session_on(volume, volume_engine) as session:
        do_edits(session, edits, data.draw)
        assert_as_segmented(session, volume_engine)


@pytest.mark.parametrize("name", ["2DBox_Microscopy_phantom_0000.npz", "3DBox_CT_phantom_0000.npz"])
@pytest.mark.slow
def test_masks_of_sample_cases_are_those_of_segment(
    samples: Path, openvino_engine: Engine, volume_engine: Engine, name: str
) -> None:
    case = read_case(samples / name)
    engine = volume_engine if case.is_volume else openvino_engine
    with session_on(case, engine) as session:
        for box in case.boxes.corners.astype(int).tolist():
            add(session, *box)
        assert_as_segmented(session, engine)


def test_a_box_on_one_slice_is_followed_and_can_be_stopped(volume: Case, volume_engine: Engine) -> None:
    with session_on(volume, volume_engine) as session:
        one = add(session, 22, 26, 4, 58, 54, 4)
        assert session.wait(DONE)
        assert np.unique(np.nonzero(session.labels)[0]).tolist() == [4]
        session.edit(partial(Drawing.set_follow, object_id=one, mark_id=box_mark(session, one).id, follow=True))
        assert_as_segmented(session, volume_engine)
        known = session.masks.known(box_mark(session, one))
        assert known is not None
        assert known.corners[2] < 4 < known.corners[5]
        session.undo()
        assert_as_segmented(session, volume_engine)


def test_stopping_makes_a_followed_box_one_on_its_slice_again(volume: Case, volume_engine: Engine) -> None:
    with session_on(volume, volume_engine) as session:
        one = add(session, 22, 26, 4, 58, 54, 4)
        with session.network.turns.lend(urgent=True), session.network.turns.lend(urgent=True):  # nothing can be encoded
            session.edit(partial(Drawing.set_follow, object_id=one, mark_id=box_mark(session, one).id, follow=True))
            session.stop(one)
            assert not box_mark(session, one).follow
        assert_as_segmented(session, volume_engine)


def test_a_preview_is_at_once_and_near_the_mask(picture: Case, openvino_engine: Engine) -> None:
    with session_on(picture, openvino_engine) as session:
        where, mask = session.preview((205, 105, 395, 295))
        add(session, 205, 105, 395, 295)
        assert session.wait(DONE)
        assert (session.labels[where] > 0)[mask].mean() > 0.98


def test_a_preview_in_a_volume_is_on_the_slice_that_is_shown(volume: Case, volume_engine: Engine) -> None:
    with session_on(volume, volume_engine) as session:
        where, mask = session.preview((22, 26, 2, 58, 54, 6), 4)
        assert len(where) == 2
        add(session, 22, 26, 2, 58, 54, 6)
        assert session.wait(DONE)
        assert (session.labels[4][where] > 0)[mask].mean() > 0.95


def test_boxes_and_strokes_are_applied_in_order(picture: Case, openvino_engine: Engine) -> None:
    with session_on(picture, openvino_engine) as session:
        one = add(session, 205, 105, 395, 295)
        session.edit(
            partial(Drawing.add_stroke, object_id=one, sign="-", axis="z", index=0, points=((300.5, 200.5),), radius=10)
        )
        assert session.wait(DONE)
        assert not session.labels[195:206, 300].any()
        session.edit(
            partial(
                Drawing.add_stroke,
                object_id=one,
                sign="+",
                axis="z",
                index=0,
                points=((300.5, 190.5), (300.5, 400.5)),
                radius=2,
            )
        )
        assert session.wait(DONE)
        assert session.labels[192:400, 300].all()
        session.edit(partial(Drawing.add_box, object_id=one, sign="-", box=(205, 105, 395, 295)))
        assert session.wait(DONE)
        assert session.labels[200, 250] == 0
        assert session.labels[350, 300] == 1
        assert session.confidence(session.drawing.find(one)) is None
        for _ in range(3):
            session.undo()
        assert_as_segmented(session, openvino_engine)


def test_what_is_painted_by_hand_lies_over_masks(picture: Case, openvino_engine: Engine) -> None:
    with session_on(picture, openvino_engine) as session:
        large, small = add(session, 205, 105, 395, 295), add(session, 270, 170, 330, 230)
        session.edit(
            partial(
                Drawing.add_stroke, object_id=large, sign="+", axis="z", index=0, points=((300.5, 200.5),), radius=5
            )
        )
        assert session.wait(DONE)
        assert session.labels[200, 300] == 1
        assert small == session.drawing.objects[1].id


@pytest.mark.parametrize(("axis", "index", "expected"), [("x", 7, (2, 3, 7)), ("y", 3, (2, 3, 7)), ("z", 2, (2, 3, 7))])
def test_a_stroke_lies_on_the_plane_that_it_was_made_on(
    volume: Case, volume_engine: Engine, axis: Axis, index: int, expected: tuple[int, int, int]
) -> None:
    along = {"x": (3.5, 2.5), "y": (7.5, 2.5), "z": (7.5, 3.5)}[axis]
    with session_on(volume, volume_engine) as session:
        session.edit(lambda drawing: drawing.add_object().add_stroke(1, "+", axis, index, (along,), 0.3))
        assert session.wait(DONE)
        assert np.argwhere(session.labels).tolist() == [list(expected)]


def test_an_edit_of_an_older_drawing_changes_nothing(picture: Case, openvino_engine: Engine) -> None:
    with session_on(picture, openvino_engine) as session:
        seen = session.version
        add(session, 10, 10, 60, 60)
        with pytest.raises(StaleError):
            session.edit(lambda drawing: drawing.remove_object(1), seen)
        with pytest.raises(StaleError):
            session.undo(seen)
        assert len(session.drawing.objects) == 1


@pytest.mark.parametrize(
    "box", [(0, 0, 640, 10), (-1, 0, 5, 5), (9, 9, 5, 12), (5, 5, 5, 5), (1, 2, 3), (1, 2, 0, 4, 5, 0)]
)
def test_boxes_that_segment_would_not_take_as_they_are_are_refused(
    picture: Case, openvino_engine: Engine, box: tuple[int, ...]
) -> None:
    with session_on(picture, openvino_engine) as session:
        with pytest.raises(UsageError):
            add(session, *box)
        with pytest.raises(UsageError):
            session.preview(box)
        assert not session.drawing.objects
        assert session.version == 1


def test_undone_ids_are_not_used_again(picture: Case, openvino_engine: Engine) -> None:
    with session_on(picture, openvino_engine) as session:
        first = add(session, 10, 10, 60, 60)
        session.undo()
        assert add(session, 10, 10, 60, 61) > first


def test_many_threads_may_edit_and_ask_for_previews(volume: Case, volume_engine: Engine) -> None:
    with session_on(volume, volume_engine) as session:
        faults: list[BaseException] = []

        def work(seed: int) -> None:
            rng = np.random.default_rng(seed)
            try:
                for _ in range(5):
                    x, y, z = (int(rng.integers(0, side)) for side in (80, 60, 9))
                    add(session, x, y, z, x + 40, y + 30, z)
                    session.preview((x, y, z, x + 30, y + 20, z), z)
            except UsageError as error:
                if "newer" not in str(error):
                    faults.append(error)
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not faults
        assert_as_segmented(session, volume_engine)


def test_another_window_makes_all_masks_anew(volume: Case, volume_engine: Engine) -> None:
    with session_on(volume, volume_engine) as session:
        add(session, 22, 26, 2, 58, 54, 6)
        assert session.wait(DONE)
        before = session.labels
        session.set_case(Case(volume.name, 255 - volume.imgs, volume.boxes, volume.spacing, (), True))
        assert_as_segmented(session, volume_engine)
        assert session.labels is not before


def test_urgent_borrowers_come_first() -> None:
    turns = Turns([BoxEngine()])
    order: list[str] = []

    def borrow(name: str, *, urgent: bool) -> None:
        with turns.lend(urgent=urgent):
            order.append(name)

    threads = []
    with turns.lend(urgent=False):
        for name, urgent in (("in advance", False), ("waited for", True)):
            threads.append(threading.Thread(target=borrow, args=(name,), kwargs={"urgent": urgent}))
            threads[-1].start()
        while not turns.urgent:
            pass
    for thread in threads:
        thread.join()
    assert order == ["waited for", "in advance"]


def test_objects_without_a_name_are_numbered_by_label_and_none_is_called_like_another() -> None:
    drawing = Drawing().add_object().add_object("liver").add_object()
    assert [one.name for one in drawing.objects] == ["object 1", "liver", "object 3"]
    fewer = drawing.remove_object(drawing.objects[0].id)
    assert fewer.add_object().objects[-1].name == "object 4"
