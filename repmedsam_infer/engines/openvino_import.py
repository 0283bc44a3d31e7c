"""OpenVINO, imported without its model converter, which takes as long to import as all the rest."""

import sys
from types import ModuleType
from typing import Any

from repmedsam_infer.system.telemetry import refuse_telemetry

CONVERTER = "openvino.tools.ovc"  # who needs it imports it by itself


def import_openvino() -> ModuleType:
    """The module. The converter is as if it were not installed while it is imported.

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
