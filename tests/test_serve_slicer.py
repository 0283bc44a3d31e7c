"""What 3D Slicer's extension sends, replayed: coendevente/SlicerNNInteractive, version 1.0.0 (July 2026).

Slicer itself is not here. The calls, their order and what gates its tools are those of that version; the client is the
real one that it installs (nninteractive-client from 2.5.1 to below 3).
"""

import importlib.metadata
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.test_app import ct_voxels
from tests.viewer_server import ViewerServer, serving

remote = pytest.importorskip("nnInteractive.inference.remote.remote_session")
httpx = pytest.importorskip("httpx")

VOLUME = ct_voxels()  # k, j, i, as slicer.util.arrayFromVolume gives it


@pytest.fixture(scope="module")
def server() -> Iterator[ViewerServer]:
    with serving("--max-sessions", 1) as server:
        yield server


class Slicer:
    """A session as the extension drives it."""

    def __init__(self, server: ViewerServer) -> None:
        self.session = remote.nnInteractiveRemoteInferenceSession(server_url=server.url, api_key=None)
        self.session.set_do_autozoom(True)
        self.buffer = np.zeros(VOLUME.shape, np.uint8)

    def send_image(self) -> None:
        self.session.set_image(np.ascontiguousarray(VOLUME[None]), {"spacing": [4.0, 1.5, 1.5]})
        self.session.set_target_buffer(self.buffer)

    def send_segment(self, seed: NDArray[np.uint8] | None = None) -> None:
        """The segment that is selected: before its first prompt, and whenever another one is."""
        self.session.reset_interactions()
        if seed is not None:
            self.session.add_initial_seg_interaction(seed, run_prediction=False)

    def draw_box(self, first: tuple[int, int, int], second: tuple[int, int, int], *, positive: bool = True) -> Any:
        """Two corners in IJK of a box that was drawn in a slice view."""
        corners = zip(first[::-1], second[::-1], strict=True)
        box = [[int(min(a, b)), int(max(a, b)) + 1] for a, b in corners]
        return self.session.add_bbox_interaction(box, include_interaction=positive, run_prediction=True)


@pytest.fixture
def slicer(server: ViewerServer) -> Iterator[Slicer]:
    slicer = Slicer(server)
    yield slicer
    slicer.session.close()


def test_the_client_is_one_that_the_extension_installs() -> None:
    version = tuple(int(part) for part in importlib.metadata.version("nninteractive-client").split(".")[:3])
    assert (2, 5, 1) <= version < (3,)


def test_its_connection_test_passes_and_leaves_the_server_free(server: ViewerServer) -> None:
    for _ in range(3):  # there is one session: each has to be given back
        remote.nnInteractiveRemoteInferenceSession(server_url=server.url, api_key=None).close()


def test_its_tools_are_those_that_there_are(slicer: Slicer) -> None:
    supported = slicer.session.supported_interactions
    enabled = {
        "point": supported.get("points"),
        "box": supported.get("bbox2d") or supported.get("bbox3d"),
        "lasso": supported.get("lasso"),
        "scribble": supported.get("scribble"),
    }
    assert enabled == {"point": False, "box": True, "lasso": False, "scribble": False}
    assert slicer.session.supports_undo
    assert slicer.session.license
    assert slicer.session.heartbeat() > 0


@pytest.mark.parametrize(
    ("first", "second"),
    [((21, 26, 6), (48, 49, 6)), ((21, 38, 2), (48, 38, 10)), ((35, 26, 2), (35, 49, 10))],
    ids=["axial", "coronal", "sagittal"],
)
def test_a_box_in_any_slice_view_gives_the_segment(
    slicer: Slicer, first: tuple[int, int, int], second: tuple[int, int, int]
) -> None:
    slicer.send_image()
    slicer.send_segment()
    changed = slicer.draw_box(first, second)
    assert slicer.buffer[6, 38, 35] == 1
    inside = np.zeros_like(slicer.buffer)
    inside[tuple(slice(low, high) for low, high in changed)] = 1
    assert not slicer.buffer[inside == 0].any()  # the extension copies no more than this


def test_a_segment_is_taken_up_again_refined_and_undone(slicer: Slicer) -> None:
    slicer.send_image()
    seed = (VOLUME == 160).astype(np.uint8)
    slicer.send_segment(seed)
    np.testing.assert_array_equal(slicer.buffer, seed)
    slicer.draw_box((60, 35, 8), (79, 54, 8))
    assert slicer.buffer[8, 45, 70] == 1
    slicer.draw_box((60, 35, 8), (79, 54, 8), positive=False)
    assert slicer.buffer[8, 45, 70] == 0
    assert slicer.session.undo()
    assert slicer.buffer[8, 45, 70] == 1
    assert slicer.session.undo()
    np.testing.assert_array_equal(slicer.buffer, seed)
    assert slicer.session._last_paste_bbox is not None


def test_another_segment_begins_with_nothing(slicer: Slicer) -> None:
    slicer.send_image()
    slicer.send_segment()
    slicer.draw_box((21, 26, 6), (48, 49, 6))
    slicer.send_segment()
    assert not slicer.buffer.any()
    slicer.draw_box((60, 35, 8), (79, 54, 8))
    assert not slicer.buffer[VOLUME == 160].any()
