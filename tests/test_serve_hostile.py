"""What only an attacker, or a broken client, sends to `repmedsam serve`: one line in return, never a traceback."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from tests.viewer_server import ViewerServer, serving

httpx = pytest.importorskip("httpx")
wire = pytest.importorskip("nnInteractive.inference.remote.serialization")
arrays = pytest.importorskip("repmedsam_infer.serve.arrays")

ARRAYS = npst.arrays(
    st.sampled_from([np.dtype(name) for name in ("uint8", "int16", "float32", "float64", "bool")]),
    npst.array_shapes(min_dims=1, max_dims=4, max_side=5),
)


@given(array=ARRAYS)
def test_arrays_are_read_and_written_as_the_client_does(array: NDArray[Any]) -> None:
    np.testing.assert_array_equal(arrays.unpack(wire.pack_array(array)), array)
    np.testing.assert_array_equal(wire.unpack_array(arrays.pack(array)), array)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_arrays_that_were_tampered_with_are_refused_or_of_the_size_that_they_say(data: st.DataObject) -> None:
    content = bytearray(wire.pack_array(np.arange(600, dtype=np.int16).reshape(1, 20, 30)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    try:
        found = arrays.unpack(bytes(content))
    except CaseReadError as error:
        assert "\n" not in str(error)
        return
    assert found.nbytes <= 1 << 20


def header(name: bytes, shape: tuple[int, ...], chunks: int = 0) -> bytes:
    head = struct.pack("<4sBBBB", b"NNIA", 1, 1, len(shape), len(name)) + name
    return head + struct.pack(f"<{len(shape)}q", *shape) + struct.pack("<I", chunks)


BOMBS = [
    header(b"float32", (1, 100_000, 100_000, 100_000)),
    header(b"float32", (1 << 62, 1 << 62)),
    header(b"float32", (1, 500, 500, 500)),  # says half a gigabyte, and has nothing
    header(b"float32", (-1, 5, 5, 5)),
    header(b"float32", (0, 5, 5, 5)),
    header(b"object", (1, 5, 5, 5)),
    header(b"float32", (1, 2, 2, 2), 1) + struct.pack("<QQ", 1 << 40, 16) + bytes(16),
    header(b"uint8", (1, 2, 2, 2), 1) + struct.pack("<QQ", 8, 1 << 40) + bytes(16),
    header(b"uint8", (1, 2, 2, 2), 1 << 31),
    b"",
    b"NNIA",
    bytes(1000),
]


@pytest.mark.parametrize("content", BOMBS, ids=range(len(BOMBS)))
def test_arrays_that_lie_about_their_size_are_refused(content: bytes) -> None:
    with pytest.raises(CaseReadError):
        arrays.unpack(content)


def test_a_chunk_that_inflates_beyond_what_it_says_is_refused() -> None:
    small, large = np.zeros(64, np.uint8), np.zeros(1 << 26, np.uint8)
    bomb = wire.pack_array(large)
    at = len(header(b"uint8", (1,)))
    lie = header(b"uint8", small.shape, 1) + struct.pack("<QQ", 64, len(bomb) - at - 16) + bomb[at + 16 :]
    with pytest.raises(CaseReadError, match="size"):
        arrays.unpack(lie)


@pytest.fixture(scope="module")
def server() -> Iterator[ViewerServer]:
    with serving("--max-sessions", 2) as server:
        yield server


@pytest.fixture
def client(server: ViewerServer) -> Iterator[Any]:
    """A client with a lease and an image of (6, 40, 50)."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        client.headers["X-Lease-Token"] = client.post("/claim").json()["lease_token"]
        image = np.random.default_rng(0).integers(0, 99, (1, 6, 40, 50)).astype(np.float32)
        assert client.post("/set_image", content=wire.pack_array(image)).status_code == 200
        yield client
        client.post("/release")


def refused(answer: Any, *statuses: int) -> None:
    assert answer.status_code in (statuses or (400,)), answer.text
    detail = answer.json()["detail"]
    assert detail
    assert "\n" not in detail
    assert "internal" not in detail
    assert len(detail) < 400


CLAIMS = 10_000
BOX = {"bbox_coords": [[2, 3], [5, 30], [5, 30]], "include_interaction": True}
BAD_BOXES: list[Any] = [
    {},
    {**BOX, "bbox_coords": None},
    {**BOX, "bbox_coords": [[0, 1]]},
    {**BOX, "bbox_coords": [[0, 1], [0, 5], "x"]},
    {**BOX, "bbox_coords": [[0, 1], [0, 5], [0, "5"]]},
    {**BOX, "bbox_coords": [[3, 3], [5, 30], [5, 30]]},
    {**BOX, "bbox_coords": [[30, 5], [5, 30], [5, 30]]},
    {**BOX, "bbox_coords": [[2, 3], [500, 600], [5, 30]]},
    {**BOX, "bbox_coords": [[-9, -5], [5, 30], [5, 30]]},
    {**BOX, "bbox_coords": [[2, 3], [5, 6], [5, 6]]},
    {**BOX, "bbox_coords": [[2, 3], [1e300, 1e301], [5, 30]]},
    {**BOX, "bbox_coords": [[2, 3], [10**400, 10**401], [5, 30]]},
    {**BOX, "bbox_coords": [[2, 3], [True, 30], [5, 30]]},
    {**BOX, "include_interaction": "yes"},
    {**BOX, "run_prediction": 1},
]


@pytest.mark.parametrize("box", BAD_BOXES, ids=range(len(BAD_BOXES)))
def test_boxes_that_make_no_sense_are_refused_and_not_kept(client: Any, box: Any) -> None:
    refused(client.post("/add_bbox_interaction", json=box))
    assert json.loads(client.post("/undo").headers["x-meta"])["ran_prediction"] is False


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 50_000, b"3"])
def test_bodies_that_are_no_json_are_refused(client: Any, body: bytes) -> None:
    refused(client.post("/add_bbox_interaction", content=body))
    refused(client.post("/set_target_buffer", content=body))


@pytest.mark.parametrize("meta", ["", "[]", "{", "nul", "{" * 5000])
def test_malformed_headers_are_refused(client: Any, meta: str) -> None:
    image = wire.pack_array(np.zeros((1, 2, 8, 8), np.uint8))
    refused(client.post("/set_image", content=image, headers={"X-Meta": meta}))


@pytest.mark.parametrize(
    "image",
    [
        np.full((1, 3, 8, 8), np.nan, np.float32),
        np.full((1, 3, 8, 8), np.inf, np.float32),
        np.zeros((2, 3, 8, 8), np.float32),
        np.zeros((3, 8, 8), np.float32),
        np.zeros((8,), np.float32),
        np.zeros((1, 3, 8, 8), bool),
    ],
    ids=["nan", "inf", "two channels", "no channel", "one axis", "bool"],
)
def test_images_that_cannot_be_segmented_are_refused_and_the_old_one_is_gone(client: Any, image: Any) -> None:
    refused(client.post("/set_image", content=wire.pack_array(image)))
    refused(client.post("/add_bbox_interaction", json=BOX))


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"shape": [1, 2, 3], "dtype": "uint8"},
        {"shape": "x", "dtype": "uint8"},
        {"shape": [6, 40, 50], "dtype": "float32"},
    ],
)
def test_buffers_that_do_not_fit_are_refused(client: Any, target: Any) -> None:
    refused(client.post("/set_target_buffer", json=target))


def test_label_maps_of_another_shape_are_refused(client: Any) -> None:
    refused(client.post("/add_initial_seg_interaction", content=wire.pack_array(np.zeros((6, 40, 51), np.uint8))))


@pytest.mark.parametrize("token", [None, "", "x", "a" * 5000])
def test_nobody_gets_a_session_without_its_lease(server: ViewerServer, client: Any, token: str | None) -> None:
    headers = {} if token is None else {"X-Lease-Token": token}
    for path in ("set_image", "add_bbox_interaction", "undo", "heartbeat", "reset_interactions", "set_target_buffer"):
        refused(httpx.post(f"{server.url}/{path}", json=BOX, headers=headers), 410)
    refused(httpx.get(f"{server.url}/lease_status", headers=headers), 410)


def test_a_lease_that_was_given_back_is_over(server: ViewerServer) -> None:
    with httpx.Client(base_url=server.url) as client:
        client.headers["X-Lease-Token"] = client.post("/claim").json()["lease_token"]
        assert client.post("/heartbeat").status_code == 200
        assert client.post("/release").json() == {"released": True}
        assert client.post("/release").json() == {"released": True}
        refused(client.post("/heartbeat"), 410)


@pytest.mark.slow
def test_any_number_of_claims_gets_as_many_sessions_as_there_are(server: ViewerServer, client: Any) -> None:
    tokens = []
    with httpx.Client(base_url=server.url) as other:
        for _ in range(CLAIMS):
            answer = other.post("/claim")
            if answer.status_code == 200:
                tokens.append(answer.json()["lease_token"])
            else:
                refused(answer, 503)
        assert len(tokens) == 1
        other.post("/release", headers={"X-Lease-Token": tokens[0]})


def test_an_image_that_says_it_is_larger_than_may_be_is_refused_at_once(server: ViewerServer, client: Any) -> None:
    import socket

    token = client.headers["X-Lease-Token"]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(
            f"POST /set_image HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nX-Lease-Token: {token}\r\n"
            f"Content-Length: {3 << 30}\r\n\r\n".encode()
        )
        assert b" 413 " in connection.recv(4096)


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}]
)
def test_pages_of_a_browser_are_not_let_in(server: ViewerServer, headers: dict[str, str]) -> None:
    refused(httpx.post(f"{server.url}/claim", headers=headers), 403)


def test_small_answers_are_sent_at_once() -> None:
    import socket

    from repmedsam_infer.system.listening import listen

    with listen("127.0.0.1", 0) as listening:  # asyncio sets TCP_NODELAY on what is named TCP alone
        assert listening.proto == socket.IPPROTO_TCP
