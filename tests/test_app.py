"""`repmedsam app` over its port: what it shows and saves, what it keeps, whom it lets in."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from repmedsam_infer.formats import read_scan
from repmedsam_infer.formats.scan_case import layout_of
from tests.app_server import App, running
from tests.conftest import Repmedsam

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

HOSTILE = "<img src=x onerror=alert(1)>"


def ct_voxels() -> NDArray[np.int16]:
    """Hounsfield units, (14, 80, 100) z y x: a body with two organs, air around it."""
    z, y, x = np.mgrid[:14, :80, :100]
    voxels = np.full(z.shape, -1000, np.int16)
    voxels[((x - 50) / 45) ** 2 + ((y - 40) / 35) ** 2 < 1] = 0
    voxels[((x - 35) / 13) ** 2 + ((y - 38) / 11) ** 2 + ((z - 6) / 4.5) ** 2 < 1] = 160
    voxels[((x - 70) / 9) ** 2 + ((y - 45) / 9) ** 2 + ((z - 8) / 3.5) ** 2 < 1] = 400
    return voxels


ORGAN, BONE = (21, 26, 6, 48, 49, 6), (60, 35, 5, 79, 54, 11)  # a box on one slice, a box of several


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, a volume as it usually lies, one that is oblique and flipped, and one whose slices lie across x."""
    nibabel = pytest.importorskip("nibabel")
    import cv2

    folder = tmp_path_factory.mktemp("images")
    image = np.random.default_rng(0).integers(0, 60, (300, 420, 3), np.uint8)
    y, x = np.mgrid[:300, :420]
    image[(x - 200) ** 2 + (y - 150) ** 2 < 60**2] += 130
    cv2.imwrite(str(folder / f"{HOSTILE}.png"), image)
    voxels = ct_voxels().T.copy()
    usual = np.diag([-1.5, -1.5, 4.0, 1])
    nibabel.save(nibabel.Nifti1Image(voxels, usual), folder / "usual.nii.gz")
    turn = np.array([[0.96, -0.28, 0, 0], [0.28, 0.96, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    oblique = turn @ np.diag([1.5, 1.5, -4.0, 1])
    nibabel.save(nibabel.Nifti1Image(voxels[::-1], oblique), folder / "oblique.nii.gz")
    across = np.array([[0, 0, 1.5, 0], [0, -1.5, 0, 0], [4.0, 0, 0, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(voxels.transpose(2, 1, 0), across), folder / "across.nii.gz")
    return folder


@pytest.fixture(scope="module")
def app(images: Path, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    names = ("2DBox_Microscopy_phantom_0000.npz", "3DBox_MR_phantom_0000.npz")
    with running(images, *(samples / name for name in names), keep=tmp_path_factory.mktemp("keep")) as app:
        yield app


def on_case(images: Path, name: str, box: tuple[int, ...]) -> list[int]:
    """A box of the usual volume, where the case of another one has it."""
    layout = layout_of(read_scan(images / name))
    usual = read_scan(images / "usual.nii.gz")
    mask = np.zeros(usual.shape, bool)
    x0, y0, z0, x1, y1, z1 = box
    mask[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] = True
    turned = {"usual.nii.gz": mask, "oblique.nii.gz": mask[:, :, ::-1], "across.nii.gz": mask.transpose(2, 1, 0)}[name]
    found = np.argwhere(layout.images(turned))
    return [*found.min(0)[::-1].tolist(), *found.max(0)[::-1].tolist()]


def test_folders_are_lists_of_images_and_results_are_not_among_them(app: App, images: Path) -> None:
    assert set(app.cases()) >= {f"{HOSTILE}.png", "usual.nii.gz", "oblique.nii.gz", "across.nii.gz"}
    assert not [name for name in app.cases() if "_labels" in name]


@pytest.mark.parametrize("name", ["usual.nii.gz", "oblique.nii.gz", "across.nii.gz"])
def test_planes_show_the_voxels_with_the_patient_upright(app: App, images: Path, name: str) -> None:
    case = app.cases()[name]
    described = app.get(f"/api/cases/{case}").json
    shape, dtype = described["shape"], described["pixel"]["dtype"]
    scan = read_scan(images / name)
    slices = layout_of(scan).images(scan.voxels)
    for plane in described["planes"]:
        axis, across, down = plane["axis"], plane["horizontal"], plane["vertical"]
        shown = app.plane(case, "slices", axis, shape[axis] // 2, dtype, (shape[down], shape[across]))
        expected = np.take(slices, shape[axis] // 2, "zyx".index(axis))
        np.testing.assert_array_equal(shown, expected if "zyx".index(down) < "zyx".index(across) else expected.T)
        letters = plane["letters"]
        assert (letters["left"], letters["top"]) == {
            "axial": ("R", "A"),
            "coronal": ("R", "S"),
            "sagittal": ("A", "S"),
        }[plane["name"]]
    assert sorted(plane["name"] for plane in described["planes"]) == ["axial", "coronal", "sagittal"]
    assert described["windows"][0]["name"] == "soft-tissue"


@pytest.mark.parametrize(
    "name",
    ["usual.nii.gz", *(pytest.param(name, marks=pytest.mark.slow) for name in ("oblique.nii.gz", "across.nii.gz"))],
)
def test_what_is_saved_is_what_segment_gives_for_the_saved_boxes(
    app: App, images: Path, tmp_path: Path, repmedsam: Repmedsam, name: str
) -> None:
    case = app.cases()[name]
    app.edit(case, "add_object", box=on_case(images, name, BONE), name="bone")
    organ = app.edit(case, "add_object", box=on_case(images, name, ORGAN), name="Leber ü")
    mark = organ["objects"][-1]["marks"][0]["id"]
    app.edit(case, "follow", object=organ["created"], mark=mark)
    state = app.settled(case)
    assert [one["status"] for one in state["objects"]] == ["ready", "ready"]
    assert state["objects"][1]["marks"][0]["found"][2] < state["objects"][1]["marks"][0]["found"][5]
    saved = app.post(f"/api/cases/{case}/save", {"format": ".nii.gz"})
    assert saved.status == 200, saved.body
    labels = images / saved.json["name"]
    boxes = images / saved.json["boxes"]
    try:
        done = repmedsam(
            "segment", images / name, "--boxes", boxes, "-o", tmp_path / "out.nii.gz", "--precision", "fp32"
        )
        assert done.code == 0, done.err
        mine, theirs = read_scan(labels), read_scan(tmp_path / "out.nii.gz")
        np.testing.assert_array_equal(mine.voxels, theirs.voxels)
        np.testing.assert_array_equal(mine.affine, theirs.affine)
        assert set(np.unique(mine.voxels)) == {0, 1, 2}
        assert [row["name"] for row in json.loads(boxes.read_text())["boxes"]] == ["bone", "Leber ü"]
        again = app.post(f"/api/cases/{case}/save", {"format": ".nii.gz"})
        assert again.status == 409
        assert "replace" in again.json["error"]
        assert app.post(f"/api/cases/{case}/save", {"format": ".nii.gz", "replace": True}).status == 200
        assert app.state(case)["saved"]["name"] == labels.name
    finally:
        labels.unlink()
        boxes.unlink()


def test_a_picture_is_saved_and_downloaded(app: App, images: Path, tmp_path: Path, repmedsam: Repmedsam) -> None:
    case = app.cases()[f"{HOSTILE}.png"]
    app.edit(case, "add_object", box=[138, 88, 262, 212], name=HOSTILE)
    app.settled(case)
    got = app.get(f"/api/cases/{case}/download/labels?format=.png")
    assert "attachment" in got.headers["content-disposition"]
    (tmp_path / "mine.png").write_bytes(got.body)
    (tmp_path / "boxes.json").write_bytes(app.get(f"/api/cases/{case}/download/boxes").body)
    done = repmedsam(
        "segment",
        images / f"{HOSTILE}.png",
        "--boxes",
        tmp_path / "boxes.json",
        "-o",
        tmp_path / "out.png",
        "--precision",
        "fp32",
    )
    assert done.code == 0, done.err
    np.testing.assert_array_equal(read_scan(tmp_path / "mine.png").voxels, read_scan(tmp_path / "out.png").voxels)
    assert app.get(f"/api/cases/{case}/download/labels?format=.nii.gz").status == 400


def test_the_area_of_a_slice_whose_pixels_are_of_known_size_is_told(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    one = ct_voxels()[8:9].T
    nibabel.save(nibabel.Nifti1Image(one, np.diag([-1.5, -2.0, 4.0, 1])), tmp_path / "slice.nii.gz")
    with running(tmp_path / "slice.nii.gz", keep=tmp_path / "keep") as app:
        case = app.cases()["slice.nii.gz"]
        assert app.get(f"/api/cases/{case}").json["spacing"] == {"x": 1.5, "y": 2.0}
        app.edit(case, "add_object", box=[*BONE[:2], *BONE[3:5]], name="bone")
        one_object = app.settled(case)["objects"][0]
        assert one_object["area_mm2"] == pytest.approx(one_object["pixels"] * 3.0)
        assert one_object["volume_ml"] is None


def test_a_preview_is_the_mask_on_the_slice(app: App, images: Path) -> None:
    case, box = app.cases()["usual.nii.gz"], on_case(images, "usual.nii.gz", BONE)
    answer = app.post(f"/api/cases/{case}/preview", {"box": box, "index": 8})
    left, top, width, height = map(int, answer.headers["x-rect"].split(","))
    mask = np.frombuffer(answer.body, np.uint8).reshape(height, width)
    assert (left, top, left + width - 1, top + height - 1) == (*box[:2], *box[3:5])
    assert 0.5 < mask.mean() < 0.95


def test_boxes_of_a_challenge_case_are_its_first_objects(app: App, samples: Path) -> None:
    name = "3DBox_MR_phantom_0000.npz"
    state = app.settled(app.cases()[name])
    with np.load(samples / name) as case:
        assert [one["marks"][0]["box"] for one in state["objects"]] == case["boxes"].tolist()


def test_strokes_are_drawn_where_they_were_made_on_any_plane(app: App, images: Path) -> None:
    name = "across.nii.gz"
    case = app.cases()[name]
    described = app.get(f"/api/cases/{case}").json
    shape = described["shape"]
    before = app.state(case)["version"]
    for plane in described["planes"]:
        across, down, axis = plane["horizontal"], plane["vertical"], plane["axis"]
        app.edit(case, "stroke", object=None, sign="+", axis=axis, index=4, points=[[6.5, 9.5], [8.5, 9.5]], radius=0.4)
        made = app.settled(case)
        label = made["objects"][-1]["label"]
        shown = app.plane(case, "labels", axis, 4, made["labels"]["dtype"], (shape[down], shape[across]))
        assert np.argwhere(shown == label).tolist() == [[9, 6], [9, 7], [9, 8]]
    assert app.state(case)["version"] == before + 3


def test_an_edit_of_what_another_page_has_changed_is_refused_with_what_it_is_now(app: App) -> None:
    case = app.cases()["2DBox_Microscopy_phantom_0000.npz"]
    seen = app.state(case)["version"]
    app.edit(case, "add_object", box=[3, 3, 40, 40], name="first")
    late = app.post(f"/api/cases/{case}/edit", {"version": seen, "edit": {"do": "undo"}})
    assert late.status == 409
    assert late.json["state"]["objects"][-1]["name"] == "first"
    assert app.state(case)["objects"][-1]["name"] == "first"


def test_another_window_makes_the_masks_anew_and_is_in_the_command(app: App, images: Path) -> None:
    case = app.cases()["usual.nii.gz"]
    app.edit(case, "set_window", level=300, width=1200)
    described = app.get(f"/api/cases/{case}").json
    assert (described["window"]["level"], described["window"]["width"]) == (300, 1200)
    assert "--window 300,1200" in described["command"]
    app.edit(case, "set_window", level=40, width=400)


def test_events_tell_of_changes(app: App) -> None:
    case = app.cases()["2DBox_Microscopy_phantom_0000.npz"]
    app.state(case)
    with socket.create_connection(("127.0.0.1", app.port), timeout=20) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in app.headers.items())
        connection.sendall(
            f"GET /api/cases/{case}/events HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\n{lines}\r\n".encode()
        )
        seen = b""
        while seen.count(b"data: ") < 1:
            seen += connection.recv(4096)
        version = app.edit(case, "rename", object=app.state(case)["objects"][0]["id"], name="told")["version"]
        while f'"version": {version}'.encode() not in seen:
            seen += connection.recv(4096)


BAD_EDITS: list[Any] = [
    {"do": "add_object", "box": [0, 0, 5]},
    {"do": "add_object", "box": [0, 0, 5, 99999]},
    {"do": "add_object", "box": ["0", 0, 5, 5]},
    {"do": "add_object", "box": [0.5, 0, 5, 5]},
    {"do": "add_object", "box": [1e308, 0, 1e308, 5]},
    {"do": "add_object", "box": [0, 0, 10**400, 5]},
    {"do": "stroke", "object": None, "sign": "+", "axis": "z", "index": 0, "points": [[10**400, 1]], "radius": 1},
    {"do": "add_object", "box": [0, 0, 5, 5], "name": "n" * 201},
    {"do": "add_object", "box": [0, 0, 5, 5], "name": 3},
    {"do": "set_box", "object": 999, "mark": 1, "box": [0, 0, 5, 5]},
    {"do": "follow", "object": 1, "mark": 2},
    {"do": "stroke", "object": None, "sign": "+", "axis": "q", "index": 0, "points": [[1, 1]], "radius": 1},
    {"do": "stroke", "object": None, "sign": "*", "axis": "z", "index": 0, "points": [[1, 1]], "radius": 1},
    {"do": "stroke", "object": None, "sign": "+", "axis": "z", "index": 7, "points": [[1, 1]], "radius": 1},
    {"do": "stroke", "object": None, "sign": "+", "axis": "z", "index": 0, "points": [[1e9, 1]], "radius": 1},
    {"do": "stroke", "object": None, "sign": "+", "axis": "z", "index": 0, "points": [[1, 1]] * 4097, "radius": 1},
    {"do": "stroke", "object": None, "sign": "+", "axis": "z", "index": 0, "points": [], "radius": 1},
    {"do": "stroke", "object": None, "sign": "+", "axis": "z", "index": 0, "points": [[1, 1]], "radius": 1e9},
    {"do": "rename", "object": True, "name": "x"},
    {"do": "set_window", "level": 1, "width": 0},
    {"do": "format the disk"},
    {"do": ["add_object"]},
    {},
]


@pytest.mark.parametrize("edit", BAD_EDITS)
def test_edits_that_make_no_sense_are_refused_with_a_sentence(app: App, edit: Any) -> None:
    case = app.cases()["2DBox_Microscopy_phantom_0000.npz"]
    version = app.state(case)["version"]
    answer = app.post(f"/api/cases/{case}/edit", {"version": version, "edit": edit})
    assert answer.status in (400, 422)
    assert "internal" not in answer.json["error"]
    assert app.state(case)["version"] == version


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"NaN", b'{"version": NaN}', b"[" * 100_000])
def test_bodies_that_are_no_json_objects_are_refused(app: App, body: bytes) -> None:
    case = app.cases()["2DBox_Microscopy_phantom_0000.npz"]
    assert app.ask("POST", f"/api/cases/{case}/edit", body=body).status == 400


def test_a_large_body_is_refused(app: App) -> None:
    case = app.cases()["2DBox_Microscopy_phantom_0000.npz"]
    assert app.ask("POST", f"/api/cases/{case}/edit", body=b" " * (2 << 20)).status == 413


@pytest.mark.parametrize(
    "path",
    ["/api/cases/c99", "/api/cases/..%2f..%2fetc/state", "/page/../server.py", "/page/%2e%2e/kept.py", "/etc/passwd"],
)
def test_nothing_but_listed_images_can_be_read(app: App, path: str) -> None:
    answer = app.get(path)
    assert answer.status in (400, 404)
    assert b"import" not in answer.body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Cookie": None}, 401),
        ({"Cookie": "repmedsam_x=wrong"}, 401),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Host": "10.0.0.7"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_nobody_else_is_let_in(app: App, headers: dict[str, str | None], status: int) -> None:
    for path in ("/api/cases", "/page/index.html", "/"):
        if path == "/" and "Sec-Fetch-Site" in headers:
            continue  # a link that was clicked elsewhere may open the page; the cookie is same-site
        answer = app.get(path, headers=headers)
        assert answer.status == status
        assert b"phantom" not in answer.body


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_another_page_changes_nothing(app: App, origin: str | None) -> None:
    case = app.cases()["2DBox_Microscopy_phantom_0000.npz"]
    version = app.state(case)["version"]
    answer = app.post(
        f"/api/cases/{case}/edit",
        {"version": version, "edit": {"do": "add_object", "box": [0, 0, 9, 9]}},
        headers={"Origin": origin},
    )
    assert answer.status == 403
    assert app.state(case)["version"] == version


def test_a_wrong_token_opens_nothing(app: App) -> None:
    answer = app.get("/?token=wrong", headers={"Cookie": None})
    assert answer.status == 401
    assert "set-cookie" not in answer.headers


def test_every_answer_forbids_foreign_scripts_and_frames(app: App) -> None:
    for path in ("/", "/api/cases", "/api/nothing"):
        headers = app.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    cookie = app.get(f"/?token={app.token}").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()


def upload(app: App, *files: tuple[str, bytes]) -> Any:
    key = app.post("/api/uploads", {}).json["upload"]
    for name, content in files:
        answer = app.ask("POST", f"/api/uploads/{key}/files?name={name}", body=content)
        assert answer.status == 204, answer.body
    return app.ask("POST", f"/api/uploads/{key}/done", body=b"")


def test_uploaded_files_are_opened_and_cannot_leave_their_folder(app: App, images: Path) -> None:
    content = (images / "usual.nii.gz").read_bytes()
    done = upload(app, ("..%2F..%2F..%2Fevil.nii.gz", content))
    assert done.status == 200, done.body
    described = app.get(f"/api/cases/{done.json['id']}").json
    assert described["name"] == "evil.nii.gz"
    assert described["beside"] is None
    assert app.post(f"/api/cases/{done.json['id']}/save", {"format": ".nii.gz"}).status == 400


def test_a_file_that_is_cut_off_or_no_image_is_refused_and_not_listed(app: App, images: Path) -> None:
    before = app.cases()
    content = (images / "usual.nii.gz").read_bytes()
    for name, part in (("cut.nii.gz", content[: len(content) // 2]), ("no.png", b"no picture"), ("a.txt", b"text")):
        done = upload(app, (name, part))
        assert done.status == 422
        assert name in done.json["error"]
    assert app.cases() == before


def test_an_upload_that_says_it_is_larger_than_may_be_is_refused_at_once(app: App) -> None:
    key = app.post("/api/uploads", {}).json["upload"]
    with socket.create_connection(("127.0.0.1", app.port), timeout=20) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in app.headers.items())
        connection.sendall(
            f"POST /api/uploads/{key}/files?name=a.nii HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\n{lines}"
            f"Content-Length: {3 << 30}\r\n\r\n".encode()
        )
        assert b" 413 " in connection.recv(4096)


@pytest.mark.slow
def test_everything_is_there_again_after_the_server_was_killed(images: Path, tmp_path: Path) -> None:
    with running(images / "usual.nii.gz", keep=tmp_path) as app:
        (case,) = app.cases().values()
        app.edit(case, "add_object", box=list(BONE), name="bone")
        made = app.edit(case, "add_object", box=list(ORGAN), name="organ")
        app.edit(case, "follow", object=made["created"], mark=made["objects"][-1]["marks"][0]["id"])
        app.edit(case, "stroke", object=1, sign="-", axis="x", index=70, points=[[45.5, 8.5]], radius=2)
        before = app.settled(case)
        shape = (80, 100)
        planes = [app.plane(case, "labels", "z", z, "u1", shape) for z in range(14)]
        app.kill()
    with running(images / "usual.nii.gz", keep=tmp_path) as app:
        (case,) = app.cases().values()
        after = app.settled(case)
        assert after["objects"] == before["objects"]
        for z, plane in enumerate(planes):
            np.testing.assert_array_equal(app.plane(case, "labels", "z", z, "u1", shape), plane)


@pytest.mark.slow
def test_what_was_drawn_on_another_image_of_that_name_is_set_aside(images: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.nii.gz"
    image.write_bytes((images / "usual.nii.gz").read_bytes())
    keep = tmp_path / "keep"
    with running(image, keep=keep) as app:
        app.edit(app.cases()["image.nii.gz"], "add_object", box=list(BONE), name="bone")
    image.write_bytes((images / "oblique.nii.gz").read_bytes())
    with running(image, keep=keep) as app:
        case = app.cases()["image.nii.gz"]
        described = app.get(f"/api/cases/{case}").json
        assert not app.state(case)["objects"]
        assert any("has changed since" in warning for warning in described["warnings"])
    assert len(list(keep.glob("*.json"))) == 1


@pytest.mark.slow
def test_damaged_files_of_what_was_drawn_are_said_and_not_overwritten(images: Path, tmp_path: Path) -> None:
    with running(images / "usual.nii.gz", keep=tmp_path) as app:
        app.edit(app.cases()["usual.nii.gz"], "add_object", box=list(BONE), name="bone")
    (kept,) = tmp_path.glob("*.json")
    kept.write_text("{")
    with running(images / "usual.nii.gz", keep=tmp_path) as app:
        answer = app.get(f"/api/cases/{app.cases()['usual.nii.gz']}")
        assert answer.status == 422
        assert kept.name in answer.json["error"]
    assert kept.read_text() == "{"


def test_the_command_says_what_is_wrong(repmedsam: Repmedsam, tmp_path: Path) -> None:
    none = repmedsam("app", tmp_path / "none.nii.gz", "--no-browser")
    assert none.code == 2
    assert "does not exist" in none.err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = repmedsam("app", "--no-browser", "--port", port)
    assert busy.code == 2
    assert f"port {port}" in busy.err
