"""How quick the page is, as a Markdown table: python -m tests.app_speed (make app-speed).

It draws its own images: a colour picture of 2604 x 1726, a CT of 512 x 512 x 300 in NIfTI.
"""

import http.client
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.app_server import App, running
from tests.browser import CHROMIUM, FLAGS

ROUNDS = 5
WIDTH, HEIGHT = 2604, 1726
DEPTH, SIDE = 300, 512
WATCHED = 3.0  # seconds
CANVAS = "canvas[data-plane=z]"


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        picture, volume = draw_picture(folder / "picture.png"), draw_volume(folder / "ct.nii.gz")
        rows = [
            *start(picture, folder),
            *on_picture(picture, folder),
            *on_volume(volume, folder),
            *in_the_page(picture, volume, folder),
        ]
    table = ["| | measured |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows)]
    sys.stdout.write("\n".join(table) + "\n")


def draw_picture(path: Path) -> Path:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 3)
    cv2.circle(image, (1200, 800), 260, (60, 90, 200), -1)
    cv2.imwrite(str(path), image)
    return path


def draw_volume(path: Path) -> Path:
    import nibabel

    z, y, x = np.ogrid[:DEPTH, :SIDE, :SIDE]
    body = ((x - 256) / 230) ** 2 + ((y - 256) / 180) ** 2 < 1
    organ = ((x - 180) / 70) ** 2 + ((y - 240) / 60) ** 2 + ((z - 150) / 60) ** 2 < 1
    noise = np.random.default_rng(0).integers(-20, 20, (SIDE, SIDE), np.int16)
    voxels = np.where(organ, 150, np.where(body, 20, -1000)).astype(np.int16) + noise
    nibabel.save(nibabel.Nifti1Image(voxels.T, np.diag([-0.8, -0.8, 1.5, 1])), path)
    return path


def start(picture: Path, folder: Path) -> Iterator[tuple[str, str]]:
    times = []
    for i in range(ROUNDS):
        began = time.perf_counter()
        with running(picture, keep=folder / f"keep{i}", precision="auto") as app:
            app.get("/")
            times.append(time.perf_counter() - began)
    yield "from command to page", f"{statistics.median(times):.2f} s"


def on_picture(picture: Path, folder: Path) -> Iterator[tuple[str, str]]:
    firsts, changes, edits = [], [], []
    for i in range(ROUNDS):
        with running(picture, keep=folder / f"first{i}", precision="auto") as app:
            time.sleep(3)  # the network is loaded while the browser starts; here there is none
            began = time.perf_counter()
            (case,) = app.cases().values()
            app.get(f"/api/cases/{case}")
            preview(app, case, 0)
            firsts.append(time.perf_counter() - began)
            if i:
                continue
            changes = [timed(preview, app, case, step) for step in range(1, 41)]
            edits = [timed(edit, app, case, step) for step in range(1, 11)]
    yield f"picture of {WIDTH} x {HEIGHT}, opened, to its first mask", f"{statistics.median(firsts):.2f} s"
    yield "a box is dragged: new mask at the server", f"{statistics.median(changes) * 1000:.0f} ms"
    yield "a box is let go: final mask, kept", f"{statistics.median(edits) * 1000:.0f} ms"


def preview(app: App, case: str, step: int) -> None:
    answer = app.post(f"/api/cases/{case}/preview", {"box": [930 + step, 530, 1470, 1070], "index": 0})
    assert answer.status == 200, answer.body


def edit(app: App, case: str, step: int) -> None:
    state = app.state(case)
    if not state["objects"]:
        app.edit(case, "add_object", box=[930, 530, 1470, 1070], name="")
    else:
        one = state["objects"][0]
        app.edit(case, "set_box", object=one["id"], mark=one["marks"][0]["id"], box=[930 + step, 530, 1470, 1070])
    app.settled(case)


def on_volume(volume: Path, folder: Path) -> Iterator[tuple[str, str]]:
    with running(volume, keep=folder / "volume", precision="auto") as app:
        began = time.perf_counter()
        (case,) = app.cases().values()
        app.get(f"/api/cases/{case}")
        read = time.perf_counter() - began
        first = timed(app.get, f"/api/cases/{case}/slices/z/150")
        yield f"CT of {SIDE} x {SIDE} x {DEPTH}, opened", f"{read:.2f} s"
        yield "its first slice after that", f"{first * 1000:.0f} ms"
        for axis in "zyx":
            took = timed(slices, app, case, axis)
            yield f"slices across {axis} a second, from the server", f"{100 / took:.0f}"
        app.edit(case, "add_object", box=[110, 180, 130, 250, 300, 170], name="organ")
        took = timed(app.settled, case)
        yield "a box over 41 slices, none encoded before, to its mask", f"{took:.1f} s"
        one = app.state(case)["objects"][0]
        app.edit(case, "set_box", object=one["id"], mark=one["marks"][0]["id"], box=[112, 180, 130, 250, 300, 170])
        yield "the same box moved", f"{timed(app.settled, case):.1f} s"
        yield "memory of the server, at most", f"{peak_memory(app.process.pid) / 2**30:.2f} GiB"


def slices(app: App, case: str, axis: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", app.port)
    for index in range(100, 200):
        connection.request("GET", f"/api/cases/{case}/slices/{axis}/{index}", headers=app.headers)
        connection.getresponse().read()
    connection.close()


def in_the_page(picture: Path, volume: Path, folder: Path) -> Iterator[tuple[str, str]]:
    if CHROMIUM is None:
        yield "in the page", "not measured: no chromium"
        return
    from playwright.sync_api import sync_playwright

    with (
        running(picture, keep=folder / "page", precision="auto") as app,
        sync_playwright() as driver,
        page_on(driver, app) as page,
    ):
        yield "live updates a second while a box is dragged", f"{updates_a_second(page):.0f}"
    with (
        running(volume, keep=folder / "page3", precision="auto") as app,
        sync_playwright() as driver,
        page_on(driver, app) as page,
    ):
        yield "slices scrolled a second, in the page", f"{scrolled_a_second(page):.0f}"


def updates_a_second(page: Any) -> float:
    page.wait_for_selector(CANVAS)
    time.sleep(2)
    previews: list[str] = []
    page.on("response", lambda answer: previews.append(answer.url) if answer.url.endswith("/preview") else None)
    at = page.evaluate(f"(() => document.querySelector('{CANVAS}').voxelToPage(930, 530))()")
    page.mouse.move(at["x"], at["y"])
    page.mouse.down()
    page.mouse.move(at["x"] + 60, at["y"] + 60)
    time.sleep(1)  # the first one encodes
    previews.clear()
    began = time.perf_counter()
    while time.perf_counter() - began < WATCHED:
        step = (time.perf_counter() - began) * 30
        page.mouse.move(at["x"] + 100 + step, at["y"] + 100 + step)
    page.mouse.up()
    return len(previews) / WATCHED


def scrolled_a_second(page: Any) -> float:
    """Slices that are drawn while the wheel turns faster than they can be."""
    page.wait_for_selector(CANVAS, timeout=60_000)
    page.focus(CANVAS)
    page.keyboard.press("Home")
    time.sleep(3)
    drawn: int = page.evaluate(
        """([selector, seconds]) => new Promise((done) => {
            const canvas = document.querySelector(selector), seen = new Set(), end = performance.now() + seconds * 1000;
            const turning = setInterval(() => {
                canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: 100, bubbles: true, cancelable: true }));
            }, 16);
            const watch = () => {
                seen.add(canvas.dataset.shown);
                if (performance.now() < end) requestAnimationFrame(watch);
                else { clearInterval(turning); done(seen.size); }
            };
            watch();
        })""",
        [CANVAS, WATCHED],
    )
    return drawn / WATCHED


@contextmanager
def page_on(driver: Any, app: App) -> Iterator[Any]:
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    try:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(app.link)
        yield page
    finally:
        browser.close()


def timed(do: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    do(*arguments)
    return time.perf_counter() - began


def peak_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text() if sys.platform == "linux" else ""
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
