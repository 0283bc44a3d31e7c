"""`repmedsam serve` with the real client of nnInteractive: every call, what it means, who is let in."""

import gc
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from repmedsam_infer.serve.prompted_volume import axis_of
from tests.app_server import running
from tests.conftest import Repmedsam
from tests.test_app import ct_voxels
from tests.viewer_server import ViewerServer, serving

remote = pytest.importorskip("nnInteractive.inference.remote")
httpx = pytest.importorskip("httpx")

IMAGE = ct_voxels().astype(np.float32)  # (14, 80, 100)
# Half-open intervals, z y x: a box on one slice of an organ, and one of several slices of another.
ORGAN = [[6, 7], [26, 50], [21, 49]]
BONE = [[5, 12], [35, 55], [60, 80]]


@pytest.fixture(scope="module")
def server() -> Iterator[ViewerServer]:
    with serving("--max-sessions", 3) as server:
        yield server


@pytest.fixture
def session(server: ViewerServer) -> Iterator[Any]:
    with connected(server) as session:
        yield session


@pytest.fixture
def left_open() -> Iterator[None]:
    """For clients that are not closed: one that is refused leaves its connection to the garbage collector."""
    yield
    gc.collect()


def connected(server: ViewerServer, image: NDArray[Any] = IMAGE, **more: Any) -> Any:
    """A client with an image and a buffer for its mask."""
    session = remote.nnInteractiveRemoteInferenceSession(server.url, **more)
    session.set_image(image[None], {"spacing": [4.0, 1.5, 1.5]})
    session.set_target_buffer(np.zeros(image.shape, np.uint8))
    return session


def truth(value: int) -> NDArray[np.bool_]:
    return ct_voxels() == value


def dice(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(2 * ((a > 0) & (b > 0)).sum() / ((a > 0).sum() + (b > 0).sum()))


def test_it_says_truthfully_what_it_can_do(session: Any) -> None:
    supported = session.supported_interactions
    assert {kind for kind, can in supported.items() if can} == {"bbox2d", "bbox3d"}
    assert set(supported) == {"bbox2d", "bbox3d", "points", "scribble", "lasso"}
    assert session.supports_undo
    assert session.supports_initial_label
    assert "BY-SA" in session.license
    assert session.ping()
    assert session.original_image_shape == (1, *IMAGE.shape)


def test_a_box_of_several_slices_is_segmented(session: Any) -> None:
    bounds = session.add_bbox_interaction(BONE, include_interaction=True)
    assert dice(session.target_buffer, truth(400)) > 0.85
    found = np.argwhere(session.target_buffer)
    assert bounds == [[int(low), int(high) + 1] for low, high in zip(found.min(0), found.max(0), strict=True)]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_on_one_slice_of_any_axis_gives_the_object_through_the_volume(session: Any, axis: int) -> None:
    where = np.argwhere(truth(160))
    middle = where.mean(0).round().astype(int)
    box = [[int(low), int(high) + 1] for low, high in zip(where.min(0), where.max(0), strict=True)]
    box[axis] = [int(middle[axis]), int(middle[axis]) + 1]
    session.add_bbox_interaction(box, include_interaction=True)
    along = np.flatnonzero(session.target_buffer.any(tuple(other for other in range(3) if other != axis)))
    assert len(along) > 3
    assert dice(session.target_buffer, truth(160)) > 0.5


def test_slices_of_a_3d_box_lie_across_the_axis_of_largest_spacing_whichever_way_it_is_shown() -> None:
    for spacing, axis in [
        ([1.5, 1.5, 4.0], 2),
        ([-1.5, -1.5, -4.0], 2),  # as napari-nifti gives them
        ([1.5, -4.0, 1.5], 1),
        ([4.0, 4.0, 1.5], 0),
        ([1.5, 0.0, 4.0], 0),
        ([1.5, float("nan"), 4.0], 0),
        (None, 0),
    ]:
        assert axis_of(spacing, (20, 30, 40)) == axis, spacing


def test_several_boxes_on_slices_of_one_axis_are_kept_and_interpolated_between(session: Any) -> None:
    session.add_bbox_interaction([[3, 4], [28, 48], [24, 46]], include_interaction=True, run_prediction=False)
    assert not session.target_buffer.any()
    session.add_bbox_interaction([[9, 10], [29, 47], [25, 45]], include_interaction=True)
    assert dice(session.target_buffer[3:10], truth(160)[3:10]) > 0.8
    for z in range(3, 10):  # no mask leaves the boxes between the two
        rows, columns = np.nonzero(session.target_buffer[z])
        assert 28 <= rows.min() <= rows.max() < 48
        assert 24 <= columns.min() <= columns.max() < 46


def test_prompts_wait_until_the_viewer_wants_their_mask(session: Any) -> None:
    session.add_bbox_interaction(BONE, include_interaction=True, run_prediction=False)
    assert not session.target_buffer.any()
    bounds = session._predict()  # the button "Run" of napari's plug-in
    found = np.argwhere(session.target_buffer)
    assert bounds == [[int(low), int(high) + 1] for low, high in zip(found.min(0), found.max(0), strict=True)]
    assert dice(session.target_buffer, truth(400)) > 0.85
    assert session._predict() is None  # nothing more to say
    assert session.undo()
    assert not session.target_buffer.any()


def test_a_negative_box_takes_away(session: Any) -> None:
    session.add_bbox_interaction(BONE, include_interaction=True)
    before = session.target_buffer.copy()
    session.add_bbox_interaction([[7, 8], [35, 55], [60, 80]], include_interaction=False)
    assert session.target_buffer[7].sum() < before[7].sum() / 4
    np.testing.assert_array_equal(np.delete(session.target_buffer, 7, 0), np.delete(before, 7, 0))


def test_everything_can_be_undone(session: Any) -> None:
    steps = [session.target_buffer.copy()]
    for box, include in ((BONE, True), (ORGAN, True), ([[7, 8], [35, 55], [60, 80]], False)):
        session.add_bbox_interaction(box, include_interaction=include)
        steps.append(session.target_buffer.copy())
    for expected in steps[-2::-1]:
        assert session.undo()
        np.testing.assert_array_equal(session.target_buffer, expected)
    assert not session.undo()


def test_a_label_map_is_taken_over_and_refined(session: Any) -> None:
    initial = truth(160).astype(np.uint8)
    session.add_initial_seg_interaction(initial)
    np.testing.assert_array_equal(session.target_buffer, initial)
    session.add_bbox_interaction(BONE, include_interaction=True)
    assert (session.target_buffer[initial > 0] > 0).all()
    assert dice(session.target_buffer, truth(160) | truth(400)) > 0.9
    assert session.undo()
    np.testing.assert_array_equal(session.target_buffer, initial)


def test_another_object_begins_with_nothing(session: Any) -> None:
    session.add_bbox_interaction(BONE, include_interaction=True)
    session.reset_interactions()
    assert not session.target_buffer.any()
    session.add_bbox_interaction(ORGAN, include_interaction=True)
    assert not session.target_buffer[truth(400)].any()


def test_a_picture_is_an_image_of_one_slice_and_has_our_zoom(server: ViewerServer) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (1, 600, 700)).astype(np.float32)
    y, x = np.mgrid[:600, :700]
    image[0, (x - 200) ** 2 + (y - 150) ** 2 < 20**2] += 130
    with connected(server, image) as session:
        box = [[0, 1], [130, 171], [180, 221]]
        session.add_bbox_interaction(box, include_interaction=True)
        close = session.target_buffer.copy()
        session.reset_interactions()
        session.set_do_autozoom(False)
        session.add_bbox_interaction(box, include_interaction=True)
        whole = session.target_buffer.copy()
    assert close.sum() > 800
    assert whole.sum() > 800
    assert (close != whole).any()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint16, np.int32])
def test_buffers_of_any_type_are_filled(server: ViewerServer, dtype: Any) -> None:
    with connected(server) as session:
        session.set_target_buffer(np.zeros(IMAGE.shape, dtype))
        session.add_bbox_interaction(BONE, include_interaction=True)
        assert session.target_buffer.dtype == dtype
        assert session.target_buffer.any()


@pytest.mark.parametrize(
    "call",
    [
        lambda session: session.add_point_interaction([5, 5, 5], include_interaction=True),
        lambda session: session.add_scribble_interaction(np.zeros(IMAGE.shape, np.uint8), include_interaction=True),
        lambda session: session.add_lasso_interaction(np.zeros(IMAGE.shape, np.uint8), include_interaction=True),
    ],
)
def test_what_is_not_supported_is_refused_with_what_to_do(session: Any, call: Any) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        call(session)
    assert refused.value.response.status_code == 400
    assert "draw a 2D box" in refused.value.response.json()["detail"]


def test_two_clients_have_sessions_of_their_own(server: ViewerServer) -> None:
    with connected(server) as one, connected(server, np.ascontiguousarray(IMAGE[:, ::-1])) as other:
        boxes = {one: BONE, other: [BONE[0], [25, 45], BONE[2]]}
        threads = [
            threading.Thread(target=client.add_bbox_interaction, args=(box, True)) for client, box in boxes.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert dice(one.target_buffer, truth(400)) > 0.85
        assert dice(other.target_buffer, truth(400)[:, ::-1]) > 0.85


@pytest.mark.usefixtures("left_open")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_full_server_says_so_and_has_room_again(server: ViewerServer) -> None:
    with connected(server), connected(server), connected(server), pytest.raises(remote.ServerAtCapacityError):
        connected(server)
    connected(server).close()


@pytest.mark.slow
@pytest.mark.usefixtures("left_open")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_client_that_dies_makes_room_and_a_lease_that_is_over_is_said() -> None:
    with serving("--max-sessions", 1, "--liveness-timeout-seconds", 2, "--idle-timeout-seconds", 4) as server:
        dead = connected(server)
        dead._stop_heartbeat.set()  # as where its process was killed
        time.sleep(2.5)
        with connected(server) as alive:
            with pytest.raises(remote.SessionExpiredError, match="over"):
                dead.add_bbox_interaction(BONE, include_interaction=True)
            beats, began = 0, time.monotonic()
            with pytest.raises(remote.SessionExpiredError):  # heartbeats show life, and are no activity
                while True:
                    alive.heartbeat()
                    beats += 1
                    time.sleep(0.5)
            assert beats > 4
            assert 3 < time.monotonic() - began < 6


@pytest.mark.usefixtures("left_open")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_key_is_needed_where_there_is_one() -> None:
    with serving("--api-key", "secret") as server:
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            connected(server, api_key="wrong")
        with connected(server, api_key="secret") as session:
            assert session.ping()
        assert httpx.get(f"{server.url}/healthz").json() == {"ok": True}
        assert httpx.get(f"{server.url}/capabilities").status_code == 401


def test_an_address_that_others_reach_needs_a_key(repmedsam: Repmedsam) -> None:
    refused = repmedsam("serve", "--host", "0.0.0.0", "--port", 0)  # refused before anything is listened on
    assert refused.code == 2
    assert "--api-key" in refused.err


def test_the_page_and_viewers_are_served_by_one_process(tmp_path: Path) -> None:
    pytest.importorskip("platformdirs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running("--viewers-port", port, keep=tmp_path) as app:
        with connected(ViewerServer(port, app.process)) as session:
            session.add_bbox_interaction(BONE, include_interaction=True)
            assert dice(session.target_buffer, truth(400)) > 0.85
        assert app.get("/api/cases").json["cases"] == []
