"""The page as a person uses it: in a real browser, with the pointer and the keyboard."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from repmedsam_infer.formats import read_scan
from repmedsam_infer.formats.label_grid import whole_labels
from tests.app_server import App, running
from tests.browser import Page, chromium, need_chromium
from tests.conftest import Repmedsam
from tests.test_app import HOSTILE, ct_voxels

pytestmark = pytest.mark.slow
pytest.importorskip("starlette")
nibabel = pytest.importorskip("nibabel")
APART = 30  # CSS pixels between handles
PICTURE, OBLIQUE, SERIES = f"{HOSTILE}.png", "oblique.nii.gz", "series"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    need_chromium()
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with a hostile name, an oblique and flipped volume, a DICOM series."""
    pytest.importorskip("pydicom")
    from tests.dicom_files import affine_of, write_series

    folder = tmp_path_factory.mktemp("images")
    image = np.random.default_rng(0).integers(0, 60, (300, 420, 3), np.uint8)
    y, x = np.mgrid[:300, :420]
    image[(x - 200) ** 2 + (y - 150) ** 2 < 60**2] += 130
    image[(x - 340) ** 2 + (y - 80) ** 2 < 30**2] += 130
    cv2.imwrite(str(folder / PICTURE), image)
    voxels = ct_voxels()
    turn = np.array([[0.96, -0.28, 0, 0], [0.28, 0.96, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(voxels.T[::-1], turn @ np.diag([1.5, 1.5, -4.0, 1])), folder / OBLIQUE)
    write_series(folder / SERIES, voxels, affine_of(np.eye(3), (1.5, 1.5, 4), (-75, -60, 30)))
    return folder


@pytest.fixture
def app(images: Path, tmp_path: Path) -> Iterator[App]:
    with running(images, keep=tmp_path / "keep") as app:
        yield app


@pytest.fixture
def page(browser: Any, app: App) -> Iterator[Page]:
    page = Page(browser, app)
    yield page
    page.close()
    assert not page.faults


def same_as_segment(repmedsam: Repmedsam, image: Path, boxes: Path, labels: Path, scratch: Path) -> NDArray[Any]:
    """Check that `segment` with the saved boxes gives the saved file, voxel for voxel; returns the labels."""
    again = (
        Path(tempfile.mkdtemp(dir=scratch))
        / f"again{''.join(labels.suffixes[-2:] if labels.name.endswith('.gz') else labels.suffixes[-1:])}"
    )
    done = repmedsam("segment", image, "--boxes", boxes, "-o", again, "--precision", "fp32")
    assert done.code == 0, done.err
    mine, theirs = read_scan(labels), read_scan(again)
    np.testing.assert_array_equal(mine.voxels, theirs.voxels)
    if mine.affine is not None and theirs.affine is not None:
        np.testing.assert_array_equal(mine.affine, theirs.affine)
    return whole_labels(mine)


def test_a_picture_is_opened_boxed_named_undone_and_saved(
    page: Page, images: Path, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    case = page.open(PICTURE)
    assert "Drag a box" in page.tab.locator("#stage").inner_text()
    page.drag((138, 88), (262, 212))
    page.tab.locator("#object-details input").first.wait_for()
    page.tab.keyboard.type("lesion")
    page.press("Enter")
    page.tab.locator("#objects-list .name", has_text="lesion").wait_for()
    page.drag((308, 48), (372, 112))
    page.wait_for_labels(case)
    assert page.rows()[0] == "lesion"
    assert len(page.rows()) == 2
    page.tab.locator("canvas[data-plane=z]").focus()
    page.press("z")
    page.tab.wait_for_function("() => document.querySelectorAll('#objects-list [data-object-id]').length === 1")
    page.press("Shift+Z")
    page.tab.wait_for_function("() => document.querySelectorAll('#objects-list [data-object-id]').length === 2")
    page.wait_for_labels(case)
    page.tab.click("#save")
    page.tab.wait_for_selector("#messages .done")
    labels, boxes = images / f"{HOSTILE}_labels.png", images / f"{HOSTILE}_boxes.json"
    try:
        found = same_as_segment(repmedsam, images / PICTURE, boxes, labels, tmp_path)
        assert found[150, 200] == 1
        assert found[80, 340] == 2
        assert json.loads(boxes.read_text())["boxes"][0]["name"] == "lesion"
    finally:
        labels.unlink()
        boxes.unlink()


def test_the_mask_follows_while_a_box_is_dragged(page: Page) -> None:
    page.open(PICTURE)
    seen: list[str] = []
    page.tab.on("response", lambda answer: seen.append(answer.url) if answer.url.endswith("/preview") else None)
    page.tab.mouse.move(*page.at(138, 88))
    page.tab.mouse.down()
    for step in range(1, 12):
        page.tab.mouse.move(*page.at(138 + 11 * step, 88 + 11 * step))
        page.tab.wait_for_timeout(60)
    assert len(seen) >= 3
    page.press("Escape")
    page.tab.mouse.up()
    page.tab.wait_for_timeout(200)
    assert page.rows() == []


def test_a_volume_is_boxed_extended_resized_and_saved(
    page: Page, images: Path, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    case = page.open(OBLIQUE)
    page.show_slice("z", 6)
    shape = page.app.get(f"/api/cases/{case}").json["shape"]
    labels, boxes = images / "oblique_labels.nii.gz", images / "oblique_boxes.json"
    centre = organ_centre(page.app, case, shape)
    page.drag((centre[0] - 14, centre[1] - 12), (centre[0] + 13, centre[1] + 11))
    page.press("Enter")
    one = page.wait_for_labels(case)["objects"][0]
    assert one["marks"][0]["box"][2] == one["marks"][0]["box"][5] == 6
    page.tab.locator("canvas[data-plane=z]").focus()
    page.press("e")
    page.tab.wait_for_timeout(200)
    state = page.wait_for_labels(case)
    found = state["objects"][0]["marks"][0]["found"]
    assert found[2] < 6 < found[5]
    assert state["objects"][0]["volume_ml"] > 3 * one["volume_ml"]
    try:
        page.tab.click("#save")
        page.tab.wait_for_selector("#messages .done")
        assert set(np.unique(same_as_segment(repmedsam, images / OBLIQUE, boxes, labels, tmp_path))) == {0, 1}
        # A box that is followed has no ends of its own: undone, it has, and they are moved in the coronal plane.
        page.press("z")
        page.wait_for_labels(case)
        box = page.app.state(case)["objects"][0]["marks"][0]["box"]
        middle = (box[0] + box[3]) / 2
        page.tab.mouse.click(*page.at(centre[0], centre[1]))
        (x, near), (_, far), (_, three_on) = (page.at(middle, z, "y") for z in (5.5, 6.5, 9.5))
        apart = max(0.0, APART - abs(far - near)) / 2 * np.sign(far - near)  # handles of a thin box are kept apart
        page.tab.mouse.move(x, far + apart)
        page.tab.mouse.down()
        page.tab.mouse.move(x, three_on + apart, steps=6)
        page.tab.mouse.up()
        page.tab.wait_for_timeout(300)
        page.wait_for_labels(case)
        moved = page.app.state(case)["objects"][0]["marks"][0]["box"]
        assert (moved[:2], moved[3:5]) == (box[:2], box[3:5])
        assert (moved[2], moved[5]) == (6, 9)
        page.tab.click("#save")
        page.tab.wait_for_function("() => document.getElementById('status-saved').textContent.startsWith('saved')")
        same_as_segment(repmedsam, images / OBLIQUE, boxes, labels, tmp_path)
    finally:
        labels.unlink(missing_ok=True)
        boxes.unlink(missing_ok=True)


def organ_centre(app: App, case: str, shape: dict[str, int]) -> tuple[int, int]:
    """Column and row of the organ of 160 HU on slice 6."""
    plane = app.plane(case, "slices", "z", 6, "i2", (shape["y"], shape["x"]))
    rows, columns = np.nonzero(plane == 160)
    return round(float(columns.mean())), round(float(rows.mean()))


def test_a_dicom_series_is_boxed_and_downloaded_with_names(
    page: Page, images: Path, tmp_path: Path, repmedsam: Repmedsam
) -> None:
    case = page.open(SERIES)
    page.show_slice("z", 6)
    page.drag((21, 26), (48, 49))
    page.tab.locator("#object-details input").first.wait_for()
    page.tab.keyboard.type("organ")
    page.press("Enter")
    page.tab.locator("#objects-list .name", has_text="organ").wait_for()
    page.wait_for_labels(case)
    page.tab.click("#save-more")
    page.tab.select_option("#save-format", ".nrrd")
    with page.tab.expect_download() as labels:
        page.tab.click("#download-labels")
    with page.tab.expect_download() as boxes:
        page.tab.click("#download-boxes")
    labels.value.save_as(tmp_path / "mine.nrrd")
    boxes.value.save_as(tmp_path / "boxes.json")
    same_as_segment(repmedsam, images / SERIES, tmp_path / "boxes.json", tmp_path / "mine.nrrd", tmp_path)
    assert json.loads((tmp_path / "boxes.json").read_text())["boxes"][0]["name"] == "organ"


def test_a_brush_adds_and_erases(page: Page) -> None:
    case = page.open(PICTURE)
    page.drag((138, 88), (262, 212))
    page.press("Enter")
    page.wait_for_labels(case)
    before = page.app.state(case)["objects"][0]["pixels"]
    page.tab.locator("canvas[data-plane=z]").focus()
    page.press("x")
    page.drag((180, 150), (220, 150))
    page.tab.wait_for_timeout(200)
    erased = page.wait_for_labels(case)["objects"][0]
    assert erased["pixels"] < before
    assert [mark["kind"] for mark in erased["marks"]] == ["box", "stroke"]
    page.press("p")
    page.drag((180, 150), (220, 150))
    page.tab.wait_for_timeout(200)
    assert page.wait_for_labels(case)["objects"][0]["pixels"] == before


def test_everything_with_the_keyboard_alone(page: Page) -> None:
    case = page.open(OBLIQUE)
    page.tab.locator("canvas[data-plane=z]").focus()
    page.press("PageUp")
    page.press("ArrowDown")
    page.press("b")
    page.press("Enter")
    for _ in range(3):
        page.press("ArrowLeft")
        page.press("Shift+ArrowDown")
    page.press("Enter")
    page.tab.locator("#object-details input").first.wait_for()
    page.tab.keyboard.type("by keys")
    page.press("Enter")
    page.tab.locator("#objects-list .name", has_text="by keys").wait_for()
    page.wait_for_labels(case)
    assert page.rows() == ["by keys"]
    page.press("]")
    page.tab.wait_for_timeout(1200)
    box = page.wait_for_labels(case)["objects"][0]["marks"][0]["box"]
    assert box[5] == box[2] + 1
    page.press("Delete")
    page.tab.wait_for_function("() => document.querySelectorAll('#objects-list [data-object-id]').length === 0")
    page.press("?")
    assert "undo" in page.tab.locator("dialog[open]").inner_text()


def test_a_reload_and_a_new_server_bring_everything_back(browser: Any, images: Path, tmp_path: Path) -> None:
    with running(images, keep=tmp_path) as app:
        page = Page(browser, app)
        case = page.open(PICTURE)
        page.drag((138, 88), (262, 212))
        page.tab.locator("#object-details input").first.wait_for()
        page.tab.keyboard.type("kept")
        page.press("Enter")
        page.tab.locator("#objects-list .name", has_text="kept").wait_for()
        before = page.wait_for_labels(case)
        page.tab.reload()
        page.open(PICTURE)
        assert page.rows() == ["kept"]
        app.kill()
        page.tab.wait_for_function("() => document.body.innerText.includes('no connection')")
        page.close()
    with running(images, keep=tmp_path) as app:
        page = Page(browser, app)
        case = page.open(PICTURE)
        page.tab.wait_for_selector("#objects-list [data-object-id]")
        assert page.rows() == ["kept"]
        assert page.wait_for_labels(case)["objects"] == before["objects"]
        page.close()


def test_two_tabs_do_not_overwrite_each_other(browser: Any, app: App) -> None:
    one, other = Page(browser, app), Page(browser, app)
    case = one.open(PICTURE)
    other.open(PICTURE)
    other.tab.route("**/events", lambda route: route.abort())  # this one does not hear of changes
    other.tab.reload()
    other.open(PICTURE)
    one.drag((138, 88), (262, 212))
    one.press("Enter")
    one.wait_for_labels(case)
    other.drag((308, 48), (372, 112))
    other.tab.wait_for_selector("#messages .message")
    assert "another tab" in other.messages()
    other.tab.wait_for_function("() => document.querySelectorAll('#objects-list [data-object-id]').length === 1")
    assert len(app.state(case)["objects"]) == 1
    one.close()
    other.close()


def test_hostile_names_are_text(page: Page) -> None:
    case = page.open(PICTURE)
    page.app.edit(case, "add_object", box=[138, 88, 262, 212], name=HOSTILE)
    page.tab.wait_for_selector("#objects-list [data-object-id]")
    assert page.rows() == [HOSTILE]
    assert page.tab.title().startswith(HOSTILE)
    assert page.tab.locator("img[src=x]").count() == 0


def test_a_page_without_the_link_says_what_to_do(browser: Any, app: App) -> None:
    context = browser.new_context()
    tab = context.new_page()
    answer = tab.goto(f"http://127.0.0.1:{app.port}/?token=wrong")
    assert answer is not None
    assert answer.status == 401
    assert "open the link" in tab.content()
    context.close()


def test_files_are_opened_in_the_page_and_faults_are_sentences(page: Page, images: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes((images / OBLIQUE).read_bytes()[:400])
    page.open(PICTURE)
    page.tab.set_input_files("#choose-files", str(cut))
    page.tab.wait_for_selector("#messages .error")
    assert "cut.nii.gz" in page.messages()
    page.tab.set_input_files("#choose-files", str(images / OBLIQUE))
    page.tab.wait_for_function("() => document.querySelectorAll('canvas[data-plane]').length === 3")
    assert page.tab.locator("#case-name").inner_text() == OBLIQUE
    page.faults = [fault for fault in page.faults if "422" not in fault]  # Chromium's own line on the refused upload


@pytest.mark.parametrize(("width", "height", "scale"), [(1280, 720, 1), (3840, 2160, 1), (1280, 720, 2), (640, 720, 1)])
def test_nothing_is_cut_off_on_any_screen(browser: Any, app: App, width: int, height: int, scale: float) -> None:
    page = Page(browser, app, width=width, height=height, scale=scale)
    page.open(OBLIQUE)
    size = page.tab.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size[0] <= width
    assert size[1] <= height
    for name in ("#save", "#undo", "#help"):
        box = page.tab.locator(name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert not page.faults
    page.close()
