"""The page of `repmedsam app` in a real Chromium, for tests: real pointer, wheel and keyboard."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.app_server import App

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Nothing of the browser's own that would use the network.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def need_chromium() -> None:
    pytest.importorskip("playwright")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Page:
    """A tab that has opened the link; whatever goes wrong in its scripts is remembered in `faults`."""

    def __init__(self, browser: Any, app: App, *, scale: float = 1, width: int = 1280, height: int = 720) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, device_scale_factor=scale, accept_downloads=True
        )
        self.tab = self.context.new_page()
        self.faults: list[str] = []
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        self.tab.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.tab.on("dialog", self.refuse)
        self.app = app
        self.tab.goto(app.link)

    def refuse(self, dialog: Any) -> None:
        """Only a foreign script would open one."""
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def close(self) -> None:
        self.context.close()

    def open(self, name: str) -> str:
        """Open a case of the list and wait until it is shown; returns its id."""
        case = self.app.cases()[name]
        self.tab.evaluate("id => { location.hash = `case=${id}`; }", case)
        self.tab.wait_for_function("name => document.getElementById('case-name').textContent === name", arg=name)
        self.tab.wait_for_function("() => document.querySelector('canvas[data-plane=z]')?.dataset.shown !== undefined")
        self.tab.wait_for_function("() => document.querySelector('canvas[data-plane=z]').dataset.shown !== ''")
        return case

    def at(self, across: float, down: float, axis: str = "z") -> tuple[float, float]:
        """Where the middle of a voxel of a plane is in the window."""
        place = self.tab.evaluate(
            "([axis, h, v]) => document.querySelector(`canvas[data-plane=${axis}]`).voxelToPage(h, v)",
            [axis, across, down],
        )
        return place["x"], place["y"]

    def drag(self, start: tuple[float, float], end: tuple[float, float], axis: str = "z", steps: int = 8) -> None:
        """From the middle of one voxel to that of another."""
        self.tab.mouse.move(*self.at(*start, axis))
        self.tab.mouse.down()
        self.tab.mouse.move(*self.at(*end, axis), steps=steps)
        self.tab.mouse.up()

    def press(self, keys: str) -> None:
        self.tab.keyboard.press(keys)

    def show_slice(self, axis: str, index: int) -> None:
        slider = self.tab.locator(f'[data-slider="{axis}"]')
        slider.fill(str(index))
        self.tab.wait_for_function(
            "([axis, index]) => document.querySelector(`canvas[data-plane=${axis}]`).dataset.shown === String(index)",
            arg=[axis, index],
        )

    def wait_for_labels(self, case: str) -> Any:
        """Wait until all masks are there and the page shows them; returns the state."""
        state = self.app.settled(case)
        self.tab.wait_for_function(
            "version => Number(document.querySelector('canvas[data-plane=z]').dataset.labels) >= version",
            arg=state["labels"]["version"],
        )
        return state

    def rows(self) -> list[str]:
        """Names in the list of objects."""
        return [row.inner_text() for row in self.tab.locator("#objects-list [data-object-id] .name").all()]

    def messages(self) -> str:
        return str(self.tab.locator("#messages").inner_text())
