"""Use the plug-in napari-nninteractive as a person does, by real mouse events, and print what came of it as JSON.

Run with a Python that has napari and the plug-in, not with that of the tests: `napari_drive.py TASK`. TASK is a file of
JSON: "url" of a server, "image" (a NIfTI file), "boxes" (two: slice, row, column, row, column), "picture" (a PNG to
write, or null).
"""

import faulthandler
import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

napari: Any = importlib.import_module("napari")
core: Any = importlib.import_module("qtpy.QtCore")
gui: Any = importlib.import_module("qtpy.QtGui")
widgets: Any = importlib.import_module("qtpy.QtWidgets")
qt_test: Any = importlib.import_module("qtpy.QtTest")
versions: Any = importlib.import_module("napari_nninteractive._version_check")
LABELS, BOXES = "nnInteractive - Label Layer", "nnInteractive - BBox Layer"
LONGEST = 120.0  # seconds that something may take


class Person:
    """Who opens an image in napari and draws boxes on it."""

    def __init__(self, image: str) -> None:
        versions.VersionChecker.start = lambda _: None  # it asks PyPI for newer versions
        self.viewer = napari.Viewer(show=True)
        self.window = self.viewer.window._qt_window
        self.window.resize(1400, 960)
        _, self.panel = self.viewer.window.add_plugin_dock_widget("napari-nninteractive", "nnInteractive")
        self.viewer.open(image, plugin="napari-nifti")
        self.image = self.viewer.layers[0]
        self.settle()

    def settle(self, seconds: float = 0.3) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            widgets.QApplication.processEvents()
            time.sleep(0.01)

    def wait(self, until: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + LONGEST
        while not until():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: {self.panel.remote_status_label.text()}")
            self.settle(0.05)

    def click(self, button: Any) -> None:
        qt_test.QTest.mouseClick(button, core.Qt.MouseButton.LeftButton)
        self.settle()

    def connect(self, url: str) -> None:
        self.panel.server_url_edit.setText(url)
        self.click(self.panel.init_button)
        self.wait(lambda: BOXES in self.viewer.layers, "Initialize")
        self.settle()

    def show(self, index: int) -> None:
        self.viewer.dims.set_point(0, self.image.data_to_world([index, 0, 0])[0])  # its slider may run backwards
        self.settle()

    def on_canvas(self, row: float, column: float) -> Any:
        """Where a voxel is on the canvas."""
        canvas = self.viewer.window._qt_viewer.canvas
        node = canvas.layer_to_visual[self.image].node
        x, y = node.get_transform("visual", "canvas").map([column, row, 0, 1])[:2]
        return core.QPointF(float(x), float(y))

    def drag(self, box: Sequence[float]) -> None:
        """Drag a box with the left button: slice, row, column, row, column."""
        self.show(int(box[0]))
        start, end = self.on_canvas(*box[1:3]), self.on_canvas(*box[3:])
        kinds, left, none = core.QEvent.Type, core.Qt.MouseButton.LeftButton, core.Qt.MouseButton.NoButton
        self.send(kinds.MouseMove, start, none, none)
        self.send(kinds.MouseButtonPress, start, left, left)
        for step in range(1, 11):
            self.send(kinds.MouseMove, start + (end - start) * (step / 10), none, left)
        self.send(kinds.MouseButtonRelease, end, left, none)
        self.settle()

    def send(self, kind: Any, where: Any, button: Any, buttons: Any) -> None:
        native = self.viewer.window._qt_viewer.canvas.native
        on_screen = core.QPointF(native.mapToGlobal(where.toPoint()))
        event = gui.QMouseEvent(kind, where, on_screen, button, buttons, core.Qt.KeyboardModifier.NoModifier)
        widgets.QApplication.sendEvent(native, event)
        self.settle(0.03)

    def mask(self, name: str = LABELS) -> dict[str, Any]:
        """What is in a layer of labels: voxels, and the first and last of each axis, slices first."""
        found = self.viewer.layers[name].data.nonzero()
        ends = [[int(axis.min()), int(axis.max())] for axis in found] if len(found[0]) else []
        return {"voxels": len(found[0]), "ends": ends, "slices": len(set(found[0].tolist()))}

    def box(self) -> list[list[float]]:
        """The last box drawn: the first and last of each axis."""
        corners = self.viewer.layers[BOXES].data[-1]
        return [[float(axis.min()), float(axis.max())] for axis in corners.T]


def use(task: dict[str, Any]) -> dict[str, Any]:
    person, (first, second), found = Person(task["image"]), task["boxes"], {}
    panel = person.panel
    person.connect(task["url"])
    found["status"] = panel.remote_status_label.text()
    found["license"] = panel.model_license_label.text()
    found["tools"] = {button.text(): button.isEnabled() for button in panel.interaction_button.buttons}
    person.drag(first)
    found["box"], found["first"] = person.box(), person.mask()
    person.click(panel.undo_button)
    found["undone"] = person.mask()
    person.drag(first)
    found["again"] = person.mask()
    person.click(panel.prompt_button.buttons[1])  # negative
    person.drag(first)
    found["taken away"] = person.mask()
    person.click(panel.undo_button)
    person.click(panel.reset_button)  # next object
    found["stored"] = [layer.name for layer in person.viewer.layers if layer.name.startswith("object")]
    found["stored mask"], found["empty"] = person.mask(found["stored"][0]), person.mask()
    panel.auto_run_ckbx.setChecked(False)  # by the button "Run"
    person.drag(second)
    found["waiting"] = person.mask()
    person.click(panel.run_button)
    found["second"] = person.mask()
    if task["picture"] is not None:
        panel.auto_run_ckbx.setChecked(True)
        person.window.grab().save(task["picture"])
    person.click(panel.reset_interaction_button)
    found["reset"] = person.mask()
    found["notices"] = [str(notice) for notice in napari.utils.notifications.notification_manager.records]
    person.viewer.close()
    return found


if __name__ == "__main__":
    faulthandler.dump_traceback_later(2 * LONGEST, exit=True)  # a dialog would wait for ever
    sys.stdout.write("\n" + json.dumps(use(json.loads(Path(sys.argv[1]).read_text("utf-8")))) + "\n")
