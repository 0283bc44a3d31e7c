"""The page of a run as it looks and works in a real Chromium: real wheel, keyboard and slider, narrow and wide."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from repmedsam_infer.report_page.make import make_report
from repmedsam_infer.report_page.opened import Folders
from tests.browser import chromium, need_chromium
from tests.conftest import write_npz
from tests.report_run import make_run, reported

LONG = "x" * 90  # a name without a place to break it
NEEDS_NAME = ("button", "link", "slider", "searchbox", "combobox", "image", "img", "dialog", "region", "table")
DEPTH = 30


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    need_chromium()
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of six cases, one a volume whose every slice has another grey level, one of a very long name."""
    run = make_run(tmp_path_factory.mktemp("run"))
    truth = np.zeros((DEPTH, 60, 80), np.uint8)
    truth[4:26, 20:40, 20:50], truth[10:20, 45:55, 5:15] = 1, 2
    imgs = np.repeat(np.arange(DEPTH, dtype=np.uint8) * 6, 60 * 80).reshape(truth.shape)
    boxes = np.array([[20, 20, 4, 49, 39, 25], [5, 45, 10, 14, 54, 19]])
    name = f"3DBox_CT_{LONG}.npz"
    write_npz(run.cases / name, imgs=imgs, gts=truth, boxes=boxes, spacing=np.array([2.5, 1, 1]))
    write_npz(run.segs / name, segs=np.roll(truth, 3, 2))
    names = [f"2DBox_US_{one}.npz" for one in ("good", "bad")]
    objects = [{"label": 1, "name": f"left {LONG}", "box": boxes[0].tolist(), "confidence": 0.4}]
    objects += [{"label": 2, "name": "spleen", "box": boxes[1].tolist(), "confidence": 0.9}]
    stages = {"read": 0.1, "encode": 1.0, "decode": 0.5}
    cases = [reported(one, seconds=2.0 - i, stages=stages) for i, one in enumerate(names)]
    cases.append(reported("2DBox_CT_broken.npz", status="failed", error=f"2DBox_CT_broken.npz: {LONG}"))
    cases.append(reported(name, stages=stages, objects=objects, warnings=[LONG, "box 2 is small"] * 3, seconds=12345.0))
    run.report(repmedsam="1.2.3", weights="ab" * 32, threads=2, cases=cases)
    make_report(Folders(run.segs, run.cases), run.root / "report.html")
    return run.root / "report.html"


class Tab:
    """The page in a tab; what its scripts and its policy complain about is in `faults`."""

    def __init__(self, browser: Any, report: Path, where: str = "", **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: self.faults.append(said.text))
        self.page.goto(f"{report.as_uri()}{where}")

    def __enter__(self) -> "Tab":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def names(self) -> list[str]:
        """Cases that are shown, in order."""
        return [str(row.get_attribute("data-case")) for row in self.page.locator("tbody.case:not([hidden])").all()]

    def open_volume(self) -> None:
        self.page.locator("tbody.case", has_text=LONG).locator(".picture a").click()
        self.page.locator(".enlarged:target").wait_for()

    def shown(self) -> str:
        """Which slice is said to be shown, after making sure that it alone is."""
        images = [one for one in self.page.locator(".enlarged:target .view img").all() if one.is_visible()]
        assert len(images) == 1
        said = str(self.page.locator(".enlarged:target output").inner_text())
        assert said == f"z {images[0].get_attribute('data-z')}"
        return said


@pytest.mark.parametrize("width", [420, 768, 1280, 2560])
def test_nothing_is_cut_off_overlaps_or_scrolls_the_page_sideways(width: int, report: Path, browser: Any) -> None:
    look = """() => {
        for (const one of document.querySelectorAll("details")) one.open = true;
        const cells = [...document.querySelectorAll(".case > tr > :not(.picture)")];
        const boxes = cells.map((cell) => cell.getBoundingClientRect()).filter((box) => box.width);
        const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
          && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
        const cut = [...document.querySelectorAll("body *")].filter((one) => {
          if (one.closest(".wide, .scroll, svg, .enlarged, .skip")) return false;
          const box = one.getBoundingClientRect();
          return box.width && (box.right > innerWidth + 1 || box.left < -1);
        });
        return [
          boxes.filter((a, i) => boxes.slice(i + 1).some((b) => over(a, b))).length,
          document.documentElement.scrollWidth - innerWidth,
          cut.map((one) => one.outerHTML.slice(0, 200)),
        ];
    }"""
    with Tab(browser, report, viewport={"width": width, "height": 900}) as tab:
        assert tab.page.evaluate(look) == [0, 0, []]
        tab.open_volume()
        assert tab.page.evaluate(look)[1] == 0
        view = tab.page.locator(".enlarged:target .view").bounding_box()
        assert view["height"] > 250
        for part in (".close", ".scroller", ".which", "figcaption"):
            box = tab.page.locator(f".enlarged:target {part}").bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= 900
        assert tab.faults == []


def test_it_is_light_or_dark_as_the_system_is(report: Path, browser: Any) -> None:
    with Tab(browser, report) as tab:
        for theme in ("light", "dark"):
            tab.page.emulate_media(color_scheme=theme)
            shot = cv2.imdecode(np.frombuffer(tab.page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
            assert shot is not None
            assert (shot.mean() > 200) == (theme == "light")
            assert shot.std() > 10


def test_slices_are_scrolled_by_wheel_keys_and_slider(report: Path, browser: Any) -> None:
    with Tab(browser, report) as tab:
        tab.open_volume()
        first = int(tab.shown().removeprefix("z "))
        assert 10 <= first <= 19  # where both objects are
        assert "slices, z 2 to 27" in tab.page.locator(".enlarged:target .which").inner_text()
        view = tab.page.locator(".enlarged:target .view")
        view.hover()
        tab.page.mouse.wheel(0, 100)
        tab.page.wait_for_function(
            "z => document.querySelector('.enlarged:target output').value === z", arg=f"z {first + 1}"
        )
        for moved in (-20, -20, -20):  # a trackpad's small movements add up
            tab.page.mouse.wheel(0, moved)
        tab.page.wait_for_function(
            "z => document.querySelector('.enlarged:target output').value === z", arg=f"z {first}"
        )
        for key, expected in [
            ("ArrowDown", first + 1),
            ("ArrowUp", first),
            ("PageDown", first + 5),
            ("End", 27),
            ("Home", 2),
        ]:
            tab.page.keyboard.press(key)
            assert tab.shown() == f"z {expected}"
        slider = tab.page.get_by_role("slider")
        slider.fill("7")
        assert tab.shown() == "z 9"
        slider.press("ArrowRight")
        assert tab.shown() == "z 10"
        tab.page.get_by_role("button", name="Overview").click()
        assert tab.page.locator(".enlarged:target .overview").is_visible()
        assert not tab.page.locator(".enlarged:target .slice:not([hidden])").count()
        slider.press("ArrowDown")
        assert tab.shown() == "z 11"
        picture = tab.page.locator(".enlarged:target .slice:not([hidden])").screenshot()
        grey = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert grey is not None
        assert abs(float(np.median(grey)) - 66) < 4  # slice 11 of the volume
        assert tab.faults == []


def test_everything_that_is_used_or_shown_has_a_name(report: Path, browser: Any) -> None:
    with Tab(browser, report) as tab:
        client = tab.context.new_cdp_session(tab.page)
        for opened in (False, True):
            if opened:
                tab.open_volume()
            nodes = client.send("Accessibility.getFullAXTree")["nodes"]
            roles = [
                (node["role"]["value"], node["name"]["value"])
                for node in nodes
                if not node["ignored"] and "name" in node
            ]
            assert len([role for role, _ in roles if role in NEEDS_NAME]) > 10
            assert [role for role, name in roles if role in NEEDS_NAME and not name.strip()] == []


def test_an_open_picture_keeps_the_focus_and_gives_it_back(report: Path, browser: Any) -> None:
    focused = "() => document.activeElement.closest('.enlarged') !== null"
    with Tab(browser, report) as tab:
        tab.open_volume()
        for key in ("Tab",) * 5 + ("Shift+Tab",) * 5:
            tab.page.keyboard.press(key)
            assert tab.page.evaluate(focused)
        tab.page.keyboard.press("Escape")
        assert not tab.page.locator(".enlarged:target").count()
        assert tab.page.evaluate("() => document.activeElement.closest('tbody').dataset.case").endswith(f"{LONG}.npz")


def test_it_sorts_filters_and_goes_from_picture_to_picture(report: Path, browser: Any) -> None:
    where = "#sort=seconds&order=ascending&text=us%20box&status=ok"
    with Tab(browser, report, where) as tab:
        assert tab.names() == ["2DBox_US_bad.npz", "2DBox_US_good.npz"]
        assert "2 of 6 cases" in tab.page.locator("form output").inner_text()
        tab.page.get_by_role("button", name="Mean DSC").click()
        tab.page.get_by_role("button", name="Mean DSC").click()
        assert tab.names() == ["2DBox_US_good.npz", "2DBox_US_bad.npz"]
        assert tab.page.locator("th[aria-sort=descending]").inner_text().startswith("Mean DSC")
        tab.page.get_by_role("button", name="Open all").click()
        assert tab.page.locator("tbody:not([hidden]) details:not([open])").count() == 0
        tab.page.locator("tbody.case:not([hidden]) .picture a").first.click()
        tab.page.keyboard.press("ArrowRight")
        assert "US_bad" in tab.page.locator(".enlarged:target figcaption").inner_text()
        tab.page.keyboard.press("Escape")
        tab.page.get_by_role("searchbox").fill("")
        tab.page.get_by_label("Status").select_option("")
        assert tab.names()[-1] == "2DBox_CT_broken.npz"  # what has no score comes last in either order
        assert tab.faults == []


def test_without_its_script_all_but_slices_can_be_read(report: Path, browser: Any) -> None:
    with Tab(browser, report, java_script_enabled=False) as tab:
        assert len(tab.names()) == 6
        tab.page.locator("tbody.case", has_text=LONG).locator(".picture a").click()
        assert tab.page.locator(".enlarged:target .overview").is_visible()
        assert not tab.page.locator(".enlarged:target .scroller").is_visible()


def test_no_script_runs_but_the_pages_own(report: Path, browser: Any, tmp_path: Path) -> None:
    planted = tmp_path / "planted.html"
    planted.write_text(report.read_text().replace("</main>", "<script>document.title='owned'</script></main>"))
    with Tab(browser, planted) as tab:
        assert not re.search("owned", tab.page.title())
        assert any("Content Security Policy" in said for said in tab.faults)
