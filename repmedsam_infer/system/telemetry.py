"""No telemetry: OpenVINO's would reach for the network, and write into the home folder, as soon as it is imported."""

import sys
from typing import Any


def refuse_telemetry() -> None:
    """To be called before openvino or nncf is imported; both do without the package where it is not to be found."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # None there means: not to be found
