"""OpenVINO, imported without its model converter, which takes as long to import as the rest, or telemetry."""

import sys
from types import ModuleType
from typing import Any

CONVERTER = "openvino.tools.ovc"  # who needs it imports it by itself


def import_openvino() -> ModuleType:
    """Return the module. The converter is as if it were not installed while it is imported.

    Raises:
        ImportError: it is not installed.

    """
    modules: dict[str, Any] = sys.modules  # None there means: not to be found
    refuse_telemetry()
    if "openvino" in modules:
        return modules["openvino"]
    hidden = CONVERTER not in modules
    if hidden:
        modules[CONVERTER] = None
    try:
        import openvino
    finally:
        if hidden:
            del modules[CONVERTER]
    return openvino


def refuse_telemetry() -> None:
    """Hide the telemetry package, which would use the network and the home folder as soon as openvino or nncf is
    imported; both do without it where it is not installed.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # None there means: not to be found
